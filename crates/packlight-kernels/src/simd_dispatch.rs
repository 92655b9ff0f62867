//! Loops compiled for several vector widths, of which the widest that the processor has is run.

// Not by `pulp`, which `gemm` brings along: behind this macro its `dispatch` left the loops at SSE2
// (GELU, SiLU and layer norm took 1.3 to 2.1 times as long, measured on AVX2). As a closure in each
// function it does vectorise, at the price of two more levels of nesting in thirty loops.

/// The vectors that loops are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vectors {
    /// What every processor of this architecture has.
    Baseline,
    /// 256 bits, with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Vectors {
    /// All of them, from the narrowest.
    #[cfg(all(test, target_arch = "x86_64"))]
    const ALL: &[Self] = &[Self::Baseline, Self::Avx2, Self::Avx512];
    #[cfg(all(test, not(target_arch = "x86_64")))]
    const ALL: &[Self] = &[Self::Baseline];

    /// Whether this processor has them.
    fn are_here(self) -> bool {
        match self {
            Self::Baseline => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.are_here()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
        }
    }

    /// The widest that this processor has, or those that a test asks for on this thread.
    #[inline]
    pub(crate) fn of_this_machine() -> Self {
        #[cfg(test)]
        if let Some(asked) = tests::ASKED.get() {
            return asked;
        }
        #[cfg(target_arch = "x86_64")]
        for vectors in [Self::Avx512, Self::Avx2] {
            if vectors.are_here() {
                return vectors;
            }
        }
        Self::Baseline
    }
}

/// Defines a function that runs on the widest vectors of the processor, which plain builds for its
/// architecture may not use. The result has the same bits on all of them: nothing is fused or
/// reordered. What the body calls must be `#[inline(always)]` to be compiled for them; the closure of a
/// `map` that is collected is not, so its loops are plain ones.
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

            match $crate::simd_dispatch::Vectors::of_this_machine() {
                $crate::simd_dispatch::Vectors::Baseline => plain::<$element>($($argument),+),
                // SAFETY: `of_this_machine` detected these instructions.
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code)]
                $crate::simd_dispatch::Vectors::Avx2 => unsafe { avx2::<$element>($($argument),+) },
                // SAFETY: `of_this_machine` detected these instructions.
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code)]
                $crate::simd_dispatch::Vectors::Avx512 => unsafe { avx512::<$element>($($argument),+) },
            }
        }
    };
}

pub(crate) use on_widest_vectors;

#[cfg(test)]
mod tests;
