//! Makes a failing history short: what remains is what the failure needs.

/// Drops parts of `steps`, halves first and single ones last, as long as `fails` stays true.
/// `tries_max` bounds how often `fails` is asked.
pub fn shrink<T: Clone>(
    steps: &[T],
    tries_max: u32,
    mut fails: impl FnMut(&[T]) -> bool,
) -> Vec<T> {
    let mut kept = steps.to_vec();
    let mut size = kept.len().div_ceil(2);
    let mut tries = 0;
    while size > 0 {
        let mut start = 0;
        let mut shorter = false;
        while start < kept.len() && tries < tries_max {
            let mut without = kept.clone();
            without.drain(start..(start + size).min(kept.len()));
            tries += 1;
            if fails(&without) {
                kept = without;
                shorter = true;
            } else {
                start += size;
            }
        }
        if tries >= tries_max {
            break;
        }
        if size > 1 || !shorter {
            size /= 2;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::shrink;

    #[test]
    fn what_the_failure_needs_remains_and_nothing_else() {
        let steps: Vec<u32> = (0..100).collect();
        let kept = shrink(&steps, 10_000, |steps| {
            steps.contains(&7) && steps.contains(&63)
        });
        assert_eq!(kept, [7, 63]);
    }

    #[test]
    fn a_history_that_fails_empty_shrinks_to_nothing() {
        assert_eq!(shrink(&[1, 2, 3], 100, |_| true), []);
    }
}
