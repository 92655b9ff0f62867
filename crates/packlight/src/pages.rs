//! When the allocator, mimalloc, returns pages to the system.

#![allow(unsafe_code)]

use std::ffi::c_long;

use libmimalloc_sys::{mi_collect, mi_option_set_default, mi_option_t};

/// `mi_option_purge_delay` of mimalloc's C header, which the crate has no name for.
const PURGE_DELAY: mi_option_t = 15;

/// How long freed pages stay with the process, in milliseconds.
const DELAY: c_long = 10_000;

/// Has the allocator hold freed pages for ten seconds: the next step needs the same pages again, and
/// fetching them anew takes a third of a step's time. The environment variable
/// `MIMALLOC_PURGE_DELAY` goes before this.
pub(crate) fn keep() {
    // SAFETY: the function has no precondition; it ignores options that it does not know. It writes a
    // plain variable that other threads read, and the program calls it before it starts any.
    unsafe { mi_option_set_default(PURGE_DELAY, DELAY) }
}

/// Makes the allocator return to the system what it holds in reserve for this thread and for those that
/// compute; each has its own.
pub(crate) fn give_back() {
    // SAFETY: the function has no precondition, and mimalloc is the program's allocator.
    let collect = || unsafe { mi_collect(true) };
    rayon::broadcast(|_| collect());
    collect();
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use libmimalloc_sys::mi_option_get;

    use super::*;

    const VARIABLE: &str = "MIMALLOC_PURGE_DELAY";

    /// The delay after [`keep`], which the tests below have a process of its own print.
    #[test]
    fn print_delay() {
        keep();
        // SAFETY: the function has no precondition.
        println!("delay {}", unsafe { mi_option_get(PURGE_DELAY) });
    }

    fn delay(variable: Option<&str>) -> String {
        let mut test = Command::new(std::env::current_exe().unwrap());
        test.args(["pages::tests::print_delay", "--exact", "--nocapture"]).env_remove(VARIABLE);
        test.envs(variable.map(|value| (VARIABLE, value)));
        let printed = String::from_utf8(test.output().unwrap().stdout).unwrap();
        let (_, delay) = printed.split_once("delay ").expect(&printed);
        delay.lines().next().unwrap().to_owned()
    }

    #[test]
    fn pages_stay_for_ten_seconds_whoever_starts_the_program() {
        assert_eq!(delay(None), "10000");
    }

    /// It also shows that the number is that of the option.
    #[test]
    fn the_environment_goes_before_the_program() {
        assert_eq!(delay(Some("1234")), "1234");
    }
}
