//! Values as the bytes they are: nothing here is shared yet, or any more.
//!
//! What [`Field`] promises is proved for numbers by what they are, for arrays by their elements, and for structs by the
//! derive: its code compares, at compile time, the compiler's layout with the fields one behind the other
//! ([`crate::layout::typed::check`]).
#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use crate::layout::typed::{RecordLayout, Scalar, TypeLayout};

/// What can be in a record: a fixed-width number, an array of fields, or a [`Record`].
///
/// # Safety
/// Every byte of a value is data: there is no padding. Any bytes are a value. A value has no bytes that change behind a
/// shared reference. `TYPE` describes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be in a record",
    label = "neither a fixed-width number, nor an array of such, nor a record",
    note = "use u8 to u64, i8 to i64, f32, f64, arrays of these, or structs with #[derive(Record)]",
    note = "for an enum, use a fixed-width integer and constants; for usize, u64"
)]
pub unsafe trait Field: Sized + 'static {
    /// How it is described.
    const TYPE: TypeLayout;
}

/// A value with a fixed, self-describing layout: a struct with `#[derive(Record)]`, which is how to implement it.
///
/// # Safety
/// By the derive only. `LAYOUT` is that of `Self`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a record",
    label = "needs #[derive(Record)] and #[repr(C)]"
)]
pub unsafe trait Record: Field {
    /// What is in it; [`Schema::of`](crate::record::Schema::of) makes a [`Schema`](crate::record::Schema) of it.
    #[doc(hidden)]
    const LAYOUT: RecordLayout;
}

macro_rules! scalars {
    ($($number:ty = $scalar:ident),*) => {$(
        // SAFETY: a number: all of its bytes are data, any bytes are a number, and it is as wide as described.
        unsafe impl Field for $number {
            const TYPE: TypeLayout = TypeLayout::Scalar(Scalar::$scalar);
        }
        const _: () = assert!(size_of::<$number>() == Scalar::$scalar.size());
    )*};
}

scalars! {
    u8 = U8, u16 = U16, u32 = U32, u64 = U64,
    i8 = I8, i16 = I16, i32 = I32, i64 = I64,
    f32 = F32, f64 = F64
}

// SAFETY: element by element, by `T`'s own promise; arrays have nothing between their elements.
unsafe impl<T: Field, const N: usize> Field for [T; N] {
    const TYPE: TypeLayout = TypeLayout::Array(N, &T::TYPE);
}

// Numbers lie in memory as they do in a channel.
#[cfg(target_endian = "big")]
compile_error!("Partywall's records are little-endian, and so must the machine be");

/// The bytes of a value.
#[inline]
pub(crate) fn bytes_of<T: Record>(value: &T) -> &[u8] {
    let first = std::ptr::from_ref(value).cast::<u8>();
    // SAFETY: `size_of::<T>()` bytes from `value` on, all of them initialised, as every byte of a `Field` is data;
    // they are borrowed as `value` is, and do not change meanwhile.
    unsafe { std::slice::from_raw_parts(first, size_of::<T>()) }
}

/// A value of its bytes; `None` if they are not as many.
#[inline]
pub(crate) fn from_bytes<T: Record>(bytes: &[u8]) -> Option<T> {
    let value = bytes.as_ptr().cast::<T>();
    // SAFETY: as many bytes as a `T` has, as tested; any bytes are a value of a `Field`; their alignment does not matter.
    (bytes.len() == size_of::<T>()).then(|| unsafe { value.read_unaligned() })
}

/// The value that lies in bytes; `None` if they are not as many, or not aligned as a `T` must be.
#[inline]
pub(crate) fn ref_from_bytes<T: Record>(bytes: &[u8]) -> Option<&T> {
    let value = bytes.as_ptr().cast::<T>();
    let fits = bytes.len() == size_of::<T>() && value.is_aligned();
    // SAFETY: aligned and within `bytes`, as tested, and borrowed as they are; any bytes are a value of a `Field`, and it
    // lets none of them be changed.
    fits.then(|| unsafe { &*value })
}

/// The value that lies in bytes, to be changed; `None` as for [`ref_from_bytes`].
#[inline]
pub(crate) fn mut_from_bytes<T: Record>(bytes: &mut [u8]) -> Option<&mut T> {
    let value = bytes.as_mut_ptr().cast::<T>();
    let fits = bytes.len() == size_of::<T>() && value.is_aligned();
    // SAFETY: as in `ref_from_bytes`; and a value that is written there leaves initialised bytes, for it has no padding.
    fits.then(|| unsafe { &mut *value })
}

/// A value whose bytes are all 0.
#[inline]
pub(crate) fn zeroed<T: Record>() -> T {
    // SAFETY: any bytes are a value of a `Field`.
    unsafe { MaybeUninit::zeroed().assume_init() }
}
