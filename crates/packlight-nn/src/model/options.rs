//! The options of a model: a struct with a default for each key.

use std::fmt::Debug;

use toml::Value;

/// What a model can be told, each option by its key.
///
/// [`options!`](crate::options) implements it for the struct that it declares.
pub trait Options: Debug + Send + Sync {
    /// The keys, in the order in which they are listed.
    fn keys(&self) -> &'static [Key];

    /// The value of a key; `None` if there is no such key.
    fn value(&self, key: &str) -> Option<Value>;

    /// Sets the value of a key. A key that does not exist changes nothing.
    ///
    /// # Errors
    /// Returns an error if the value has another type than the option.
    fn set(&mut self, key: &str, value: Value) -> Result<(), toml::de::Error>;
}

/// A key of a model's options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The key, as a study and the command line write it.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
}

/// Declares the options of a model: a struct of which each field has a description and a default.
///
/// The struct implements `Debug`, `Clone`, `PartialEq`, `Default` and
/// [`Options`](crate::model::Options). Its fields are public, and their types are numbers, strings,
/// lists of them, or any that implement serde's `Serialize` and `Deserialize`.
///
/// ```
/// packlight_nn::options! {
///     /// A network with one hidden layer.
///     pub struct Shallow {
///         /// Features of the hidden layer.
///         width: usize = 64,
///     }
/// }
/// assert_eq!(Shallow::default(), Shallow { width: 64 });
/// ```
#[macro_export]
macro_rules! options {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $Name:ident {
            $( $(#[doc = $doc:literal])+ $key:ident : $Type:ty = $default:expr ),+ $(,)?
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq)]
        $visibility struct $Name {
            $( $(#[doc = $doc])+ pub $key: $Type, )+
        }

        impl Default for $Name {
            fn default() -> Self {
                Self { $( $key: $default, )+ }
            }
        }

        impl $crate::model::Options for $Name {
            fn keys(&self) -> &'static [$crate::model::Key] {
                &[ $( $crate::model::Key { name: stringify!($key), doc: concat!($($doc),+) }, )+ ]
            }

            fn value(&self, key: &str) -> Option<$crate::toml::Value> {
                match key {
                    $( stringify!($key) => $crate::toml::Value::try_from(&self.$key).ok(), )+
                    _ => None,
                }
            }

            fn set(
                &mut self,
                key: &str,
                value: $crate::toml::Value,
            ) -> Result<(), $crate::toml::de::Error> {
                match key {
                    $( stringify!($key) => self.$key = value.try_into()?, )+
                    _ => {}
                }
                Ok(())
            }
        }
    };
}
