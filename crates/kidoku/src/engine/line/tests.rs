use super::*;
use std::future::Future;
use std::pin::pin;

fn line() -> Rc<Line> {
    Rc::default()
}

fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn nanos_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}

/// Those among the calls whose turn has come.
fn called(calls: &[Rc<Call>]) -> Vec<usize> {
    let with_number = calls.iter().enumerate();
    let called = with_number.filter(|(_, call)| call.is_called());
    called.map(|(number, _)| number).collect()
}

fn stand(seats: &[Rc<Seat>]) -> Vec<Rc<Call>> {
    let noop = || Waker::noop().clone();
    seats.iter().map(|seat| seat.stand(noop())).collect()
}

#[test]
fn those_in_line_are_called_in_order_for_a_slice() {
    let (line, now) = (line(), Instant::now());
    let context = Context::from_waker(Waker::noop());
    assert!(line.poll_waiting(&context).is_pending());
    let seats: Vec<_> = (0..3).map(|_| Seat::new(&line)).collect();
    let calls = stand(&seats);
    assert!(line.poll_waiting(&context).is_ready());
    line.begin_slice(now);
    assert_eq!(called(&calls), [0]);
    line.go_on(now + SLICE - us(1));
    assert_eq!(called(&calls), [0, 1]);
    line.go_on(now + SLICE);
    assert_eq!(called(&calls), [0, 1]);
    drop(calls[..2].to_vec());
    assert!(line.poll_waiting(&context).is_ready());
}

#[test]
fn a_slice_calls_nobody_while_one_that_was_called_has_still_to_come() {
    let (line, now) = (line(), Instant::now());
    let seats: Vec<_> = (0..2).map(|_| Seat::new(&line)).collect();
    let mut calls = stand(&seats);
    line.begin_slice(now);
    line.begin_slice(now + SLICE);
    assert_eq!(called(&calls), [0]);
    line.begin_slice(now + PATIENCE - us(1));
    assert_eq!(called(&calls), [0]);
    // Its turn ends after the slice, so that the next one begins with the next slice.
    let turn = seats[0].called_turn(calls.remove(0), now);
    line.slice_until.set(Some(now));
    drop(turn);
    assert!(called(&calls).is_empty());
    line.begin_slice(now + SLICE);
    assert_eq!(called(&calls), [0]);
}

#[test]
fn who_was_called_and_does_not_come_does_not_stop_the_others_for_ever() {
    let (line, now) = (line(), Instant::now());
    let seats: Vec<_> = (0..2).map(|_| Seat::new(&line)).collect();
    let calls = stand(&seats);
    line.begin_slice(now);
    line.begin_slice(now + PATIENCE);
    assert_eq!(called(&calls), [0, 1]);
}

#[test]
fn who_has_left_is_passed_over() {
    let (line, now) = (line(), Instant::now());
    let seats: Vec<_> = (0..3).map(|_| Seat::new(&line)).collect();
    let mut calls = stand(&seats);
    calls.remove(0);
    line.begin_slice(now);
    assert_eq!(called(&calls), [0]);
    // And one that was called and left does not stop the others.
    calls.remove(0);
    line.begin_slice(now);
    assert_eq!(called(&calls), [0]);
}

#[test]
fn a_seat_with_many_requests_stands_in_line_once() {
    let (line, now) = (line(), Instant::now());
    let (many, one) = (Seat::new(&line), Seat::new(&line));
    let mut calls: Vec<_> = (0..3).flat_map(|_| stand(&[Rc::clone(&many)])).collect();
    calls.extend(stand(&[Rc::clone(&one)]));
    line.begin_slice(now);
    let mut order: Vec<usize> = Vec::new();
    for _ in 0..4 {
        order.extend(
            called(&calls)
                .into_iter()
                .filter(|n| !order.contains(n))
                .collect::<Vec<_>>(),
        );
        line.go_on(now);
    }
    assert_eq!(order, [0, 3, 1, 2]);
}

#[test]
fn requests_that_ended_in_line_are_not_kept() {
    let line = line();
    let seat = Seat::new(&line);
    for _ in 0..100_000 {
        drop(seat.stand(Waker::noop().clone()));
    }
    assert!(seat.calls_kept() <= 257);
    let wanted = seat.stand(Waker::noop().clone());
    line.begin_slice(Instant::now());
    assert!(wanted.is_called());
}

#[test]
fn who_asks_for_less_than_the_others_goes_first_and_who_asks_for_more_does_not() {
    let (line, now) = (line(), Instant::now());
    let (much, little) = (Seat::new(&line), Seat::new(&line));
    much.note_more(now);
    for _ in 0..100 {
        let call = much.stand(Waker::noop().clone());
        line.begin_slice(now);
        assert!(call.is_called());
        let turn = much.called_turn(call, now);
        much.charge(us(100), now);
        drop(turn);
        assert!(much.free_turn(now).is_none());
    }
    // It has saved up to a bound: so much can be spent at once, and then a little at a time.
    line.end_turn();
    let mut spent = Duration::ZERO;
    while little.free_turn(now).is_some() {
        little.charge(us(10), now);
        spent += us(10);
    }
    assert_eq!(spent, SAVED_MAX);
}

#[test]
fn nobody_goes_ahead_of_the_line_once_much_was_done_since_answers_left() {
    let (line, now) = (line(), Instant::now());
    let (much, little) = (Seat::new(&line), Seat::new(&line));
    // A seat that is far behind the clock.
    line.clock.set(nanos_of(us(10_000)));
    let _call = much.stand(Waker::noop().clone());
    assert!(little.free_turn(now).is_some());
    much.charge(FREE_TIME_IN_ALL, now);
    assert!(little.free_turn(now).is_none());
    line.end_turn();
    assert!(little.free_turn(now).is_some());
}

#[test]
fn light_ones_and_heavy_ones_are_called_in_turns_by_what_they_were_served() {
    let (line, now) = (line(), Instant::now());
    let seats: Vec<_> = (0..5).map(|_| Seat::new(&line)).collect();
    for (seat, served) in seats.iter().zip([30, 20, 10, 40, 50]) {
        seat.charge(us(served), now);
    }
    // The first three have more to do than fitted into a turn; one of them no longer.
    seats[..3].iter().for_each(|seat| seat.note_more(now));
    seats[1].note_done();
    let calls = stand(&seats);
    let mut order = Vec::new();
    line.begin_slice(now);
    for _ in 0..seats.len() {
        let new = called(&calls).into_iter().filter(|n| !order.contains(n));
        order.extend(new.collect::<Vec<_>>());
        line.go_on(now);
    }
    assert_eq!(order, [1, 2, 3, 0, 4]);
}

/// A seat that has been there for a while.
fn old_seat(line: &Rc<Line>) -> Rc<Seat> {
    let came = Instant::now().checked_sub(NEW_TIME).unwrap();
    Seat::since(line, came)
}

#[test]
fn a_crowd_that_has_just_come_does_not_keep_those_waiting_who_have_been_there() {
    let (line, now) = (line(), Instant::now());
    let mut seats: Vec<_> = (0..20).map(|_| Seat::new(&line)).collect();
    seats[0].note_more(now);
    seats.extend((0..3).map(|_| old_seat(&line)));
    // However little the crowd was served.
    seats[20..]
        .iter()
        .for_each(|seat| seat.charge(us(900), now));
    let calls = stand(&seats);
    let mut order = Vec::new();
    line.begin_slice(now);
    for _ in 0..8 {
        let new = called(&calls).into_iter().filter(|n| !order.contains(n));
        order.extend(new.collect::<Vec<_>>());
        line.go_on(now);
    }
    assert_eq!(order, [20, 1, 21, 0, 22, 2, 3, 4]);
}

#[test]
fn time_in_which_the_system_did_something_else_is_hardly_charged() {
    let (line, now) = (line(), Instant::now());
    let seat = old_seat(&line);
    seat.charge(us(40_000), now);
    line.end_turn();
    line.clock.set(nanos_of(ENTRY_TIME + CHARGE_MAX) + 1);
    let _somebody = stand(&[old_seat(&line)]);
    assert!(seat.free_turn(now).is_some());
}

#[test]
fn who_is_served_while_it_stands_in_line_does_not_put_the_clock_ahead_of_the_others() {
    let (line, now) = (line(), Instant::now());
    let seats: Vec<_> = (0..2).map(|_| Seat::new(&line)).collect();
    let calls = stand(&seats);
    seats[0].charge(us(50_000), now);
    line.begin_slice(now);
    assert_eq!(called(&calls), [0]);
    assert_eq!(line.clock.get(), nanos_of(ENTRY_TIME));
}

#[test]
fn who_has_just_come_is_behind_those_who_have_been_there() {
    let (line, now) = (line(), Instant::now());
    line.clock.set(nanos_of(us(10_000)));
    let old = Seat::new(&line);
    line.clock.set(nanos_of(us(10_000) + ENTRY_TIME));
    let new = Seat::new(&line);
    let calls = stand(&[new, old]);
    line.begin_slice(now);
    assert_eq!(called(&calls), [1]);
}

#[test]
fn while_there_is_time_for_all_nobody_stands_in_line() {
    let (line, now) = (line(), Instant::now());
    let (much, little) = (Seat::new(&line), Seat::new(&line));
    for _ in 0..100 {
        assert!(much.free_turn(now).is_some());
        much.charge(us(100), now);
        assert!(little.free_turn(now).is_some());
        little.charge(us(1), now);
        line.end_turn();
    }
    // Turns that add up to more than a slice before answers leave are too much,
    much.charge(SLICE + us(1), now);
    assert!(much.free_turn(now).is_none());
    assert!(little.free_turn(now).is_some());
    // for a while.
    assert!(much.free_turn(now + CONTENTION).is_some());
}

#[test]
fn a_request_needs_no_turn_of_its_own_until_that_of_its_connection_ends() {
    let line = line();
    let seat = Seat::new(&line);
    let context = &mut Context::from_waker(Waker::noop());
    let turn = seat.free_turn(Instant::now());
    seat.serve(turn.as_ref(), || {
        assert!(pin!(seat.turn()).poll(context).is_ready());
        std::thread::sleep(FREE_TIME * 2);
        let mut second = pin!(seat.turn());
        assert!(second.as_mut().poll(context).is_pending());
        line.begin_slice(Instant::now());
        assert!(second.poll(context).is_ready());
    });
}
