//! Finds the known word most like an unknown one.

/// The fewest insertions, removals, replacements and swaps of neighbours that make `left` into
/// `right` (optimal string alignment).
pub fn edit_distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let width = right.len() + 1;
    let mut before = vec![0; width];
    let mut above: Vec<usize> = (0..width).collect();
    for (row, left_char) in left.iter().enumerate() {
        let mut current = vec![row + 1; width];
        for (column, right_char) in right.iter().enumerate() {
            let replaced = above[column] + usize::from(left_char != right_char);
            let mut best = replaced.min(above[column + 1] + 1).min(current[column] + 1);
            let swapped = row > 0
                && column > 0
                && *left_char == right[column - 1]
                && left[row - 1] == *right_char;
            if swapped {
                best = best.min(before[column - 1] + 1);
            }
            current[column + 1] = best;
        }
        before = std::mem::replace(&mut above, current);
    }
    above[width - 1]
}

/// The word of `known` nearest to `wanted`; of equally near ones the first. `None` when `known` is
/// empty. A first or last part that is
/// right (`resp` or `listen` for `resp.listen`) counts as very near.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase().replace('-', "_");
    known.into_iter().min_by_key(|word| {
        let last = word.rsplit('.').next().unwrap_or(word);
        let section = word.split('.').next().unwrap_or(word);
        if last == wanted || section == wanted {
            1
        } else {
            2 * edit_distance(&wanted, word)
        }
    })
}
