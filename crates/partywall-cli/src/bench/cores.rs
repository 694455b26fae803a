//! Which two cores the two processes are bound to.

use crate::os;

/// Two cores that this process may use; not two threads of one core, if there is a choice.
pub(super) fn two() -> Result<[usize; 2], String> {
    let allowed = os::cores().map_err(|error| format!("cannot ask for the cores: {error}"))?;
    choose(&allowed, siblings).ok_or_else(|| {
        format!(
            "two cores are needed, and this process may use {}",
            allowed.len()
        )
    })
}

fn choose(allowed: &[usize], siblings: impl Fn(usize) -> Option<String>) -> Option<[usize; 2]> {
    let &first = allowed.first()?;
    let same_core = siblings(first);
    let apart = |&&core: &&usize| same_core.is_none() || siblings(core) != same_core;
    let others = &allowed[1..];
    let &second = others.iter().find(apart).or(others.first())?;
    Some([first, second])
}

/// The threads that share the core of this one, in the kernel's words.
fn siblings(core: usize) -> Option<String> {
    let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    std::fs::read_to_string(path).ok()
}

/// Binds the calling thread, and those it starts later.
pub(super) fn bind(core: usize) -> Result<(), String> {
    os::bind(core).map_err(|error| format!("cannot bind to core {core}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_one_core_are_avoided_where_possible() {
        let paired = |core: usize| Some(format!("{}-{}", core & !1, core | 1));
        assert_eq!(choose(&[0, 1, 2, 3], paired), Some([0, 2]));
        assert_eq!(choose(&[0, 1], paired), Some([0, 1]));
        assert_eq!(choose(&[4, 7], |_| None), Some([4, 7]));
        assert_eq!(choose(&[3], paired), None);
        assert_eq!(choose(&[], paired), None);
    }
}
