//! How much memory reading may take.

use crate::sys;

/// Bytes of memory for each byte of input.
const FACTOR: usize = 64;

/// Bytes of memory whatever the input: tables, buffers that are always of one size, the words of errors.
const CONSTANT: usize = 512 << 10;

/// What `work` returns, which reads `length` bytes of input and may take memory in proportion.
///
/// # Panics
/// When it took more.
pub fn in_proportion<T>(length: usize, work: impl FnOnce() -> T) -> T {
    let (done, most) = sys::counted(work);
    let allowed = length.saturating_mul(FACTOR).saturating_add(CONSTANT);
    assert!(most <= allowed, "{most} bytes of memory for {length} bytes of input");
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_also_where_it_was_given_back() {
        in_proportion(8192, || vec![0_u8; 64 * 8192]);
        let too_much = std::panic::catch_unwind(|| in_proportion(100, || drop(vec![1_u8; CONSTANT + 6401])));
        assert!(too_much.is_err());
    }
}
