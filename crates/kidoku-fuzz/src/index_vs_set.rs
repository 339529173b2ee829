//! The message index beside an ordinary sorted set.

use crate::draw::Draw;
use kidoku_core::id::{MessageId, Position};
use kidoku_core::id_set::IdSet;
use kidoku_core::limits::MESSAGE_ID_MAX;
use std::collections::BTreeSet;

/// Ids in a set at most, so that an input takes bounded time.
const IDS_MAX: usize = 4_000;

fn id(value: u64) -> MessageId {
    MessageId::new(value.clamp(1, MESSAGE_ID_MAX)).unwrap()
}

fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap()
}

/// Does to both what the input says.
pub fn run(data: &[u8]) {
    let mut draw = Draw::new(data);
    let mut set = IdSet::new();
    let mut model = BTreeSet::new();
    while !draw.is_empty() {
        step(&mut draw, &mut set, &mut model);
        assert_eq!(set.len(), wide(model.len()));
        assert_eq!(set.is_empty(), model.is_empty());
        assert_eq!(set.first().map(MessageId::get), model.first().copied());
        assert_eq!(set.last().map(MessageId::get), model.last().copied());
        let near = near(&mut draw, &model);
        check_position(&set, &model, near);
    }
    let ids: Vec<u64> = set
        .iter_above(Position::START)
        .map(MessageId::get)
        .collect();
    assert!(
        ids.iter().eq(model.iter()),
        "the ids are those of the model"
    );
    let rebuilt = IdSet::from_sorted(ids.into_iter().map(id));
    assert_eq!(rebuilt.len(), set.len());
    for position in [0, 1, MESSAGE_ID_MAX - 1, MESSAGE_ID_MAX, u64::MAX] {
        check_position(&set, &model, position);
        check_position(&rebuilt, &model, position);
    }
}

/// A number that is in the model, beside it, or anywhere.
fn near(draw: &mut Draw<'_>, model: &BTreeSet<u64>) -> u64 {
    let offset = draw.number();
    if draw.flag() {
        return offset;
    }
    let place = usize::from(draw.byte()) * model.len() / 256;
    let base = model.iter().nth(place).copied().unwrap_or_default();
    if draw.flag() {
        base.saturating_sub(offset)
    } else {
        base.saturating_add(offset)
    }
}

fn step(draw: &mut Draw<'_>, set: &mut IdSet, model: &mut BTreeSet<u64>) {
    match draw.below(8) {
        // A run of new messages, of steps that the fuzzer chooses.
        0..=2 => {
            let gap = draw.number().max(1);
            let mut at = model.last().copied().unwrap_or_default();
            for _ in 0..1 + usize::from(draw.byte()) {
                at = at.saturating_add(gap);
                if at > MESSAGE_ID_MAX || model.len() >= IDS_MAX {
                    break;
                }
                assert_eq!(set.insert(id(at)), model.insert(at));
            }
        }
        3 | 4 => {
            let late = id(near(draw, model));
            assert_eq!(set.insert(late), model.insert(late.get()));
        }
        5 => {
            let gone = id(near(draw, model));
            assert_eq!(set.remove(gone), model.remove(&gone.get()));
        }
        6 if draw.one_in(4) => {
            let at = near(draw, model);
            let kept = at.checked_add(1).map(|next| model.split_off(&next));
            let gone = wide(model.len());
            *model = kept.unwrap_or_default();
            assert_eq!(set.remove_up_to(Position(at)), gone);
        }
        _ => {
            let ids: Vec<MessageId> = model.iter().copied().map(id).collect();
            *set = IdSet::from_sorted(ids);
        }
    }
}

fn check_position(set: &IdSet, model: &BTreeSet<u64>, position: u64) {
    let at = Position(position);
    let above = || {
        let next = position.checked_add(1);
        next.map(|next| model.range(next..))
    };
    assert_eq!(
        set.count_above(at),
        above().map_or(0, |ids| wide(ids.count()))
    );
    let first = above().and_then(|mut ids| ids.next().copied());
    assert_eq!(set.first_above(at).map(MessageId::get), first);
    let below = model.range(..=position).next_back().copied();
    assert_eq!(set.last_at_or_below(at).map(MessageId::get), below);
    if let Ok(id) = MessageId::new(position) {
        assert_eq!(set.contains(id), model.contains(&position));
    }
}
