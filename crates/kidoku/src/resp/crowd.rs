//! Who goes last while a core has more to do than it likes: those who have much under way, or take
//! much room, themselves.

use super::limits::{CROWDED_BYTES_MAX, CROWDED_REQUESTS_MAX, CROWDED_WEIGHT_MAX};
use crate::engine::pressure::Pressure;

/// True when nothing is to be taken in from a connection that owes answers to so many requests, of
/// this weight together, and has so many bytes of answers unsent.
pub(super) fn stands_back(
    pressure: &Pressure,
    (requests, weight): (usize, usize),
    unsent: usize,
) -> bool {
    let has_much = requests >= CROWDED_REQUESTS_MAX || weight >= CROWDED_WEIGHT_MAX;
    (has_much && pressure.is_crowded())
        || (unsent > CROWDED_BYTES_MAX && pressure.buffers_are_full())
}

/// True when so many bytes of a request that has not all come can not be kept.
pub(super) fn is_too_long_a_half(pressure: &Pressure, bytes: usize) -> bool {
    bytes > CROWDED_BYTES_MAX && pressure.buffers_are_full()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::pressure::{BUFFER_BYTES_MAX, REQUESTS_MAX, Share};

    fn under(share: Share) -> Pressure {
        let pressure = Pressure::new(1);
        pressure.change(Share::default(), share);
        pressure
    }

    fn crowded() -> Pressure {
        under(Share {
            requests: REQUESTS_MAX,
            ..Share::default()
        })
    }

    fn without_room() -> Pressure {
        under(Share {
            bytes: BUFFER_BYTES_MAX,
            ..Share::default()
        })
    }

    #[test]
    fn on_a_crowded_core_a_connection_has_15_requests_of_999_entries_out_and_not_one_more() {
        let pressure = crowded();
        let (requests, weight) = (CROWDED_REQUESTS_MAX - 1, CROWDED_WEIGHT_MAX - 1);
        assert!(!stands_back(&pressure, (requests, weight), usize::MAX));
        assert!(stands_back(&pressure, (requests + 1, 0), 0));
        assert!(stands_back(&pressure, (0, weight + 1), 0));
        // On any other core this is no reason.
        let much = (requests + 1, weight + 1);
        assert!(!stands_back(&under(Share::default()), much, usize::MAX));
    }

    #[test]
    fn without_room_for_buffers_16_kib_of_answers_and_of_a_request_are_kept_and_not_a_byte_more() {
        let pressure = without_room();
        let much = (CROWDED_REQUESTS_MAX, CROWDED_WEIGHT_MAX);
        assert!(!stands_back(&pressure, much, CROWDED_BYTES_MAX));
        assert!(stands_back(&pressure, (0, 0), CROWDED_BYTES_MAX + 1));
        assert!(!is_too_long_a_half(&pressure, CROWDED_BYTES_MAX));
        assert!(is_too_long_a_half(&pressure, CROWDED_BYTES_MAX + 1));
        assert!(!is_too_long_a_half(&crowded(), usize::MAX));
    }
}
