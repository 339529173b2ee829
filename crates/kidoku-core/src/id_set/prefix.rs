//! Counts per chunk with the sum of all before a chunk in O(log chunks): a Fenwick tree.
//!
//! A plain array of running totals would be rewritten to its end on every late insert.

use super::wide;

/// Node `i` (from 1) holds the sum of the counts of the `i & -i` chunks that end with chunk `i - 1`.
#[derive(Clone, Debug, Default)]
pub(super) struct PrefixCounts {
    nodes: Vec<u64>,
}

impl PrefixCounts {
    /// Replaces everything.
    pub(super) fn rebuild(&mut self, counts: impl Iterator<Item = usize>) {
        self.nodes.clear();
        for count in counts {
            self.push(count);
        }
    }

    /// Adds a chunk behind the last one.
    pub(super) fn push(&mut self, count: usize) {
        let node = self.nodes.len() + 1;
        let mut sum = wide(count);
        let mut child = node - 1;
        while child > node - lowest_bit(node) {
            sum += self.nodes[child - 1];
            child -= lowest_bit(child);
        }
        self.nodes.push(sum);
    }

    /// Changes the count of a chunk from `old` to `new`.
    pub(super) fn replace(&mut self, chunk: usize, old: usize, new: usize) {
        let mut node = chunk + 1;
        while node <= self.nodes.len() {
            // Added first: a node is a sum that includes `old`.
            self.nodes[node - 1] = self.nodes[node - 1] + wide(new) - wide(old);
            node += lowest_bit(node);
        }
    }

    /// The sum of the first `chunks` counts.
    pub(super) fn sum_of_first(&self, chunks: usize) -> u64 {
        let mut node = chunks;
        let mut sum = 0;
        while node > 0 {
            sum += self.nodes[node - 1];
            node -= lowest_bit(node);
        }
        sum
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<u64>()
    }
}

fn lowest_bit(node: usize) -> usize {
    node & node.wrapping_neg()
}
