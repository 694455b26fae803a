//! Types that cannot be fields, why not, and what to use instead.

use quote::ToTokens;
use syn::{Error, GenericArgument, PathArguments, Type};

/// Refuses a type that the text alone shows to be wrong.
pub(crate) fn check(ty: &Type) -> Result<(), Error> {
    let why = match ty {
        Type::Array(array) => return check(&array.elem),
        Type::Paren(inner) => return check(&inner.elem),
        Type::Group(inner) => return check(&inner.elem),
        Type::Path(path) if path.qself.is_none() => {
            let Some(last) = path.path.segments.last() else {
                return Ok(());
            };
            match named(&last.ident.to_string(), &last.arguments) {
                Some(why) => why,
                None => return Ok(()),
            }
        }
        // An associated type: the compiler will see what it is.
        Type::Path(_) => return Ok(()),
        Type::Reference(_) | Type::Ptr(_) | Type::FnPtr(_) => {
            "an address means something only in the process that wrote it; put the value itself here"
        }
        Type::Tuple(tuple) if tuple.elems.is_empty() => "it takes no bytes; leave it out",
        Type::Tuple(_) => {
            "the compiler orders a tuple's parts as it likes; use an array, or a record of its own"
        }
        Type::Slice(_) => "its length varies; use `[T; N]` and a count",
        _ => "it has no layout of its own; use fixed-width numbers, arrays of them, or records",
    };
    let name = ty.to_token_stream().to_string();
    Err(Error::new_spanned(
        ty,
        format!("`{}` cannot be in a record: {why}", tidy(&name)),
    ))
}

/// What is wrong with a type of this name.
fn named(name: &str, arguments: &PathArguments) -> Option<&'static str> {
    Some(match name {
        "usize" => {
            "it is as wide as a pointer, so 32-bit and 64-bit processes would disagree; use u64, or u32"
        }
        "isize" => {
            "it is as wide as a pointer, so 32-bit and 64-bit processes would disagree; use i64, or i32"
        }
        "bool" => "a peer can write any byte, and only two are a bool; use u8, and compare with 0",
        "char" => {
            "a peer can write any number, and not every one is a char; use u32, and char::from_u32"
        }
        "u128" | "i128" => "compilers disagree about its alignment; use `[u64; 2]`",
        "f16" | "f128" => "most languages do not have it; use f32 or f64",
        "String" | "str" | "CString" | "CStr" | "OsString" | "OsStr" | "PathBuf" | "Path" => {
            "its text lies elsewhere in this process; use `[u8; N]`, and a u32 for the length"
        }
        "Vec" | "VecDeque" | "HashMap" | "BTreeMap" | "HashSet" | "BTreeSet" => {
            "its elements lie elsewhere in this process; use `[T; N]`, and a u32 for the count"
        }
        "Box" | "Rc" | "Arc" | "Weak" | "Cow" | "NonNull" => {
            "an address means something only in the process that wrote it; put the value itself here"
        }
        "Option" | "Result" => {
            "which bytes mean which case is the compiler's own; use the value, and a u32 that tells the case"
        }
        "Cell" | "RefCell" | "UnsafeCell" | "Mutex" | "RwLock" | "OnceCell" | "OnceLock" => {
            "it guards a value within one process; put the value itself here, the channel guards it"
        }
        "Duration" | "Instant" | "SystemTime" => {
            "its layout is the standard library's own; use u64 nanoseconds"
        }
        "PhantomData" => "it takes no bytes; leave it out",
        name if name.starts_with("NonZero") => "a peer can write 0 there; use the plain integer",
        name if name.starts_with("Atomic") => {
            "a record is written by one process and then read; use the plain integer"
        }
        _ => match arguments {
            PathArguments::None => return None,
            PathArguments::AngleBracketed(inner) if !inner.args.iter().any(is_argument) => {
                return None;
            }
            _ => "it is generic, and a record has one layout; use a type that is not",
        },
    })
}

fn is_argument(argument: &GenericArgument) -> bool {
    matches!(
        argument,
        GenericArgument::Type(_) | GenericArgument::Lifetime(_) | GenericArgument::Const(_)
    )
}

/// Tokens are printed with a space between each two.
fn tidy(name: &str) -> String {
    let mut tidy = name.to_owned();
    for (spaced, tight) in [
        (" < ", "<"),
        (" >", ">"),
        (" :: ", "::"),
        (" ,", ","),
        (" ;", ";"),
        ("& ", "&"),
        ("* ", "*"),
        ("[ ", "["),
        (" ]", "]"),
        ("( ", "("),
        (" )", ")"),
    ] {
        tidy = tidy.replace(spaced, tight);
    }
    tidy
}
