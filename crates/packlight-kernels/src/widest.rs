//! Loops compiled several times over, for the vectors that the machine turns out to have.

/// Defines a function whose loops run on the widest vectors of this machine, which plain builds for
/// its architecture may not use. Same results on each: nothing in them is fused or reordered. What
/// the body calls must be `#[inline(always)]` to be compiled with it.
macro_rules! on_widest_vectors {
    (
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident<$element:ident: $bound:path>($($argument:ident: $type:ty),+ $(,)?)
            $(-> $output:ty)? $body:block
    ) => {
        $(#[$attribute])*
        $visibility fn $name<$element: $bound>($($argument: $type),+) $(-> $output)? {
            #[inline(always)]
            fn plain<$element: $bound>($($argument: $type),+) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2<$element: $bound>($($argument: $type),+) $(-> $output)? {
                plain::<$element>($($argument),+)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512<$element: $bound>($($argument: $type),+) $(-> $output)? {
                plain::<$element>($($argument),+)
            }

            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                {
                    // SAFETY: the machine has just been found to have these instructions.
                    #[allow(unsafe_code)]
                    return unsafe { avx512::<$element>($($argument),+) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the machine has just been found to have these instructions.
                    #[allow(unsafe_code)]
                    return unsafe { avx2::<$element>($($argument),+) };
                }
            }
            plain::<$element>($($argument),+)
        }
    };
}

pub(crate) use on_widest_vectors;
