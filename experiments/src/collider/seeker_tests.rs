use std::cell::RefCell;

use vmm::hook::Access;

use super::*;

/// A machine with these variables, which is watched.
#[derive(Default)]
struct Fake {
    places: Vec<(&'static str, Place)>,
    /// The difference between linear and guest-physical addresses.
    offset: u64,
    refuses: bool,
    watched: RefCell<Vec<Range<u64>>>,
}

impl Machine for Fake {
    fn find(&mut self, sought: &Sought) -> Result<Place, Absent> {
        let name = sought.to_string();
        let mut found = self.places.iter().filter(|(known, _)| *known == name);
        let place = found.next().map(|(_, place)| place.clone());
        if found.next().is_some() {
            return Err(Absent::Refused(format!("two {name}")));
        }
        place.ok_or_else(|| Absent::Gone(format!("no {name}")))
    }

    fn physical(&self, linear: &Range<u64>) -> Result<Range<u64>, String> {
        Ok(linear.start - self.offset..linear.end - self.offset)
    }

    fn watch(&self, watch: Watch) -> Result<(), String> {
        if self.refuses {
            return Err("page tables".into());
        }
        self.watched.borrow_mut().push(watch.physical);
        Ok(())
    }

    fn unwatch(&self, watch: &Watch) -> Result<(), String> {
        self.watched.borrow_mut().retain(|known| *known != watch.physical);
        Ok(())
    }
}

fn at(start: u64, size: u64, module: Option<&str>) -> Place {
    Place { linear: start..start + size, module: module.map(Into::into) }
}

fn sought(name: &str) -> Sought {
    let (module, name) = match name.split_once(':') {
        Some((module, name)) => (Some(module.to_owned()), name),
        None => (None, name),
    };
    Sought { module, name: name.into(), bytes: None }
}

fn touched(variables: &Variables, address: u64) -> Option<usize> {
    let (size, write, value, before) = (4, true, 0, 0);
    let (locked, rip, exact) = (false, 0, true);
    let access = Access { address, size, write, value, before, locked, rip, exact };
    variables.touched(&access).first().map(|touched| touched.number)
}

#[test]
fn a_variable_is_watched_once_it_is_there() {
    let (mut seeker, variables) = (Seeker::new(&[sought("a"), sought("b")]), Variables::of(&[]));
    let mut machine = Fake { offset: 0x1000, ..Fake::default() };
    assert!(seeker.look(&mut machine, &variables).is_empty() && seeker.is_restless());
    let never = [("a", "no a"), ("b", "no b")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(seeker.never_found(), never);
    machine.places.push(("a", at(0x9000, 8, None)));
    let news = seeker.look(&mut machine, &variables);
    assert_eq!(news, ["watching a at 0x9000, 8 bytes up to the next symbol"]);
    let starts: Vec<_> = machine.watched.borrow().iter().map(|range| range.start).collect();
    assert_eq!(starts, [0x8000]);
    // Nothing changes, and what is still missing is told apart.
    assert!(seeker.look(&mut machine, &variables).is_empty() && seeker.is_restless());
    assert_eq!(seeker.never_found(), [never[1].clone()]);
    assert_eq!((touched(&variables, 0x8006), touched(&variables, 0x8008)), (Some(0), None));
    machine.places.push(("b", at(0xa000, 8, None)));
    seeker.look(&mut machine, &variables);
    assert!(!seeker.is_restless() && seeker.never_found().is_empty());
}

#[test]
fn what_is_gone_or_elsewhere_is_not_reported_under_the_old_name() {
    let (mut seeker, variables) = (Seeker::new(&[sought("m:a")]), Variables::of(&[]));
    let mut machine = Fake { places: vec![("m:a", at(0x9000, 8, Some("m")))], ..Fake::default() };
    seeker.look(&mut machine, &variables);
    assert_eq!(touched(&variables, 0x9000), Some(0));
    assert!(seeker.is_restless(), "a module can go");
    machine.places.clear();
    let news = seeker.look(&mut machine, &variables);
    assert_eq!(news, ["m:a is not watched any more: no m:a"]);
    assert!(machine.watched.borrow().is_empty() && touched(&variables, 0x9000).is_none());
    assert!(seeker.never_found().is_empty(), "it was there");
    assert!(seeker.look(&mut machine, &variables).is_empty(), "nothing has changed");
    // The module is loaded elsewhere, and moves again.
    for (number, start) in [(1, 0xb000), (2, 0xc000)] {
        machine.places = vec![("m:a", at(start, 8, Some("m")))];
        let news = seeker.look(&mut machine, &variables);
        assert_eq!(news.last(), Some(&format!("watching m:a at {start:#x}, 8 bytes")));
        assert_eq!(touched(&variables, start), Some(number));
        assert_eq!(machine.watched.borrow().len(), 1);
    }
    // Its page is another one.
    machine.offset = 0x1000;
    assert_eq!(seeker.look(&mut machine, &variables).len(), 2);
    assert_eq!((touched(&variables, 0xb000), touched(&variables, 0xc000)), (Some(3), None));
    assert_eq!(variables.all().len(), 4);
}

#[test]
fn what_was_found_and_then_refused_is_told_at_the_end() {
    let (mut seeker, variables) = (Seeker::new(&[sought("a"), sought("b")]), Variables::of(&[]));
    let places = [("a", at(0x9000, 8, Some("m"))), ("b", at(0xa000, 8, Some("m")))];
    let mut machine = Fake { places: places.clone().into(), ..Fake::default() };
    seeker.look(&mut machine, &variables);
    assert!(seeker.refused().is_empty());
    // Both modules go, which is no reason to doubt the search.
    machine.places.clear();
    seeker.look(&mut machine, &variables);
    assert!(seeker.refused().is_empty());
    // One comes back where it can't be watched, and then there are two of its name.
    let told = |reason: &str| vec![("a".to_owned(), reason.to_owned())];
    (machine.places, machine.refuses) = (vec![places[0].clone()], true);
    seeker.look(&mut machine, &variables);
    assert_eq!(seeker.refused(), told("it can't be watched: page tables"));
    machine.places.push(places[0].clone());
    let news = seeker.look(&mut machine, &variables);
    assert_eq!((news, seeker.refused()), (vec!["a is not watched: two a".into()], told("two a")));
    // It is watched again, and was not for a while.
    (machine.places, machine.refuses) = (places.into(), false);
    assert_eq!(seeker.look(&mut machine, &variables).len(), 2);
    assert_eq!(seeker.refused(), told("two a"));
    assert!(seeker.never_found().is_empty());
}

#[test]
fn two_names_of_one_place_are_told() {
    let (mut seeker, variables) = (Seeker::new(&[sought("a"), sought("b")]), Variables::of(&[]));
    let places = ["a", "b"].map(|name| (name, at(0x9000, 8, Some("m"))));
    let mut machine = Fake { places: places.into(), ..Fake::default() };
    let news = seeker.look(&mut machine, &variables);
    let same =
        "watching b of module m at 0x9000, 8 bytes; a is at the same place, and its name is used";
    assert_eq!(news, ["watching a of module m at 0x9000, 8 bytes", same]);
    assert_eq!(touched(&variables, 0x9000), Some(0));
}

#[test]
fn what_can_t_be_watched_is_told() {
    let variables = Variables::of(&[]);
    let mut machine = Fake { refuses: true, ..Fake::default() };
    machine.places = vec![("a", at(0x9000, 8, None)), ("large", at(0xb000, 4097, None))];
    let eight = Sought { bytes: Some(8), ..sought("large") };
    let mut seeker = Seeker::new(&[sought("a"), sought("large"), eight]);
    assert!(seeker.look(&mut machine, &variables).is_empty());
    let reasons: Vec<_> = seeker.never_found().into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(
        reasons,
        [
            "it can't be watched: page tables",
            "its size is not known: give the number of bytes, as in --watch large:8",
            "it can't be watched: page tables"
        ]
    );
    machine.refuses = false;
    let news = seeker.look(&mut machine, &variables);
    assert_eq!(
        news,
        [
            "watching a at 0x9000, 8 bytes up to the next symbol",
            "watching large at 0xb000, 8 bytes"
        ]
    );
}
