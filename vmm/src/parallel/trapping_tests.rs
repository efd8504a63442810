//! Trapped memory with the real KVM.

use std::io::sink;
use std::ops::Range;
use std::path::Path;

use iced_x86::code_asm::*;

use super::*;
use crate::controlled::test_guest::{Assembled, Guest, PML4, SHARED, end, places, start_others};
use crate::end::End;
use crate::error::Error;
use crate::hook::{Access, watches};
use crate::kvm::{Host, host};
use crate::testing::Watch;
use crate::watchpoints::WatchPlan;

fn run(guest: &Guest, hooks: &[&dyn Attach]) -> Result<Outcome> {
    let host = Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap();
    let plan = WatchPlan::pages(watches(hooks), "for this test");
    let machine = Machine::watching(&host, &guest.config(), plan, Box::new(sink()))?;
    let options = Options { timeout: Some(Duration::from_secs(10)), ..Options::default() };
    super::run(machine, hooks, options)
}

fn ends_well(outcome: &Outcome) {
    assert!(matches!(outcome.end, End::Guest { code: 0 }), "{:?}", outcome.end);
}

/// A whole page.
const PAGE: Range<u64> = SHARED..SHARED + 0x1000;

#[test]
fn every_access_is_seen_and_done() {
    let (guest, [load, inc, add]) = places(|a, [load, inc, add]| {
        a.mov(rbx, SHARED)?;
        a.mov(rax, 0x1122_3344_5566_7788u64)?;
        a.mov(qword_ptr(rbx), rax)?;
        a.set_label(load)?;
        a.movzx(ecx, word_ptr(rbx + 2))?;
        a.set_label(inc)?;
        a.inc(dword_ptr(rbx + 8))?;
        a.mov(edx, 5)?;
        a.set_label(add)?;
        a.lock().xadd(dword_ptr(rbx + 8), edx)?;
        // Other memory works as usual.
        a.mov(byte_ptr(rbx + 0x1000), 1)?;
        a.cmp(ecx, 0x5566)?;
        let mut bad = a.create_label();
        a.jne(bad)?;
        a.cmp(dword_ptr(rbx + 8), 6)?;
        a.jne(bad)?;
        end(a, 0)?;
        a.set_label(&mut bad)?;
        end(a, 1)
    });
    let watch = Watch::of(PAGE);
    let outcome = run(&guest, &[&watch]).unwrap();
    ends_well(&outcome);
    let of = |address, size, write, value, before, locked, rip| Access {
        address,
        size,
        write,
        value,
        before,
        locked,
        rip,
        exact: true,
    };
    let seen = watch.accesses();
    assert_eq!(
        seen[..6],
        [
            of(SHARED, 8, true, 0x1122_3344_5566_7788, 0, false, load),
            of(SHARED + 2, 2, false, 0x5566, 0x5566, false, load),
            of(SHARED + 8, 4, false, 0, 0, false, inc),
            of(SHARED + 8, 4, true, 1, 0, false, seen[3].rip),
            of(SHARED + 8, 4, false, 1, 1, true, add),
            of(SHARED + 8, 4, true, 6, 1, true, add),
        ]
    );
    assert_eq!(seen.len(), 7, "the last one is the comparison");
    assert_eq!(outcome.memory.read_u32(SHARED + 8).unwrap(), 6);
}

#[test]
fn hooks_see_their_ranges_only() {
    let guest = Guest::new(|a| {
        a.mov(rbx, SHARED)?;
        a.mov(dword_ptr(rbx), 1)?;
        a.mov(dword_ptr(rbx + 4), 2)?;
        a.mov(qword_ptr(rbx + 6), 3)?;
        a.mov(dword_ptr(rbx + 16), 4)?;
        end(a, 0)
    });
    let (low, high) = (SHARED + 4..SHARED + 8, SHARED + 16..SHARED + 17);
    let (one, two) = (Watch::of(low), Watch::of(high.clone()).and(high));
    ends_well(&run(&guest, &[&one, &two]).unwrap());
    let values =
        |watch: &Watch| watch.accesses().iter().map(|access| access.value).collect::<Vec<_>>();
    assert_eq!((values(&one), values(&two)), (vec![2, 3], vec![4]));
}

#[test]
fn locked_instructions_of_many_vcpus_lose_nothing() {
    const ROUNDS: u32 = 200;
    const VCPUS: u32 = 4;
    let guest = Guest::new(|a| {
        let (mut again, mut wait) = (a.create_label(), a.create_label());
        a.test(edi, edi)?;
        let mut count = a.create_label();
        a.jnz(count)?;
        start_others(a)?;
        a.set_label(&mut count)?;
        a.mov(rbx, SHARED)?;
        a.mov(ecx, ROUNDS)?;
        a.set_label(&mut again)?;
        a.lock().inc(dword_ptr(rbx))?;
        // Each vCPU has a byte of its own in a word that all of them exchange: plain stores among
        // locked ones.
        a.mov(byte_ptr(rbx + rdi + 16), cl)?;
        a.mov(eax, 1)?;
        a.lock().xadd(dword_ptr(rbx + 4), eax)?;
        a.dec(ecx)?;
        a.jnz(again)?;
        a.lock().inc(dword_ptr(rbx + 8))?;
        a.set_label(&mut wait)?;
        a.cmp(dword_ptr(rbx + 8), VCPUS)?;
        a.jne(wait)?;
        a.test(edi, edi)?;
        a.jnz(wait)?;
        end(a, 0)
    });
    let watch = Watch::of(PAGE);
    let outcome = run(&guest.with_vcpus(VCPUS), &[&watch]).unwrap();
    ends_well(&outcome);
    let word = |offset| outcome.memory.read_u32(SHARED + offset).unwrap();
    assert_eq!((word(0), word(4), word(8)), (ROUNDS * VCPUS, ROUNDS * VCPUS, VCPUS));
    let seen = watch.seen.lock().unwrap();
    for vcpu in 0..VCPUS {
        let locked = seen.iter().filter(|(of, access)| *of == vcpu && access.locked);
        let (stores, loads): (Vec<&(u32, Access)>, Vec<_>) =
            locked.partition(|(_, access)| access.write);
        assert_eq!(stores.len() as u32, 2 * ROUNDS + 1, "vCPU {vcpu}");
        assert_eq!(loads.len(), stores.len(), "vCPU {vcpu}");
    }
    // Each value of the counters was stored exactly once.
    let mut values: Vec<u64> = seen
        .iter()
        .filter(|(_, access)| access.write && access.address == SHARED)
        .map(|(_, access)| access.value)
        .collect();
    values.sort_unstable();
    assert!(values.into_iter().eq(1..=u64::from(ROUNDS * VCPUS)));
}

#[test]
fn long_accesses_come_in_parts() {
    let guest = Guest::new(|a| {
        a.mov(rdi, SHARED)?;
        a.mov(ecx, 3)?;
        a.mov(rax, 7u64)?;
        a.rep().stosq()?;
        a.mov(rax, qword_ptr(SHARED + 0xffc))?;
        end(a, 0)
    });
    let watch = Watch::of(PAGE);
    ends_well(&run(&guest, &[&watch]).unwrap());
    let seen: Vec<_> =
        watch.accesses().iter().map(|access| (access.address - SHARED, access.size)).collect();
    assert_eq!(seen, [(0, 8), (8, 8), (16, 8), (0xffc, 4)]);
}

fn refusal(result: Result<Outcome>) -> String {
    match result {
        Err(error) => error.to_string(),
        Ok(outcome) => panic!("{:?}", outcome.end),
    }
}

#[test]
fn what_is_known_not_to_work_is_refused_beforehand() {
    let guest = Guest::new(|a| end(a, 0));
    let cases = [
        (SHARED..SHARED, "nothing is in there"),
        (0x1000_0000..0x1000_0008, "not all of it is RAM"),
        (0xfee0_0000..0xfee0_0004, "devices are there"),
        (0x600..0x608, "the GDT that the guest starts with"),
        (u64::MAX - 8..u64::MAX, "not all of it is RAM"),
    ];
    for (range, reason) in cases {
        let watch = Watch::of(range);
        let text = refusal(run(&guest, &[&watch]));
        assert!(text.contains(reason) && text.contains("watch of guest-physical"), "{text}");
    }
    // The image of a catalogue guest shows where its code is.
    let hello = guests::find("hello").unwrap();
    let image = crate::GuestImage { name: "hello".into(), bytes: hello.image.into() };
    let config = crate::MachineConfig::new(image, crate::CpuCount::new(1).unwrap());
    let host = Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap();
    let code = crate::boot::elf::executable(crate::boot::elf::Image::of(&config));
    let start = code.first().unwrap().start;
    let watch = Watch::of(start..start + 4);
    let plan = WatchPlan::pages(watches(&[&watch]), "for this test");
    let refused = Machine::watching(&host, &config, plan, Box::new(sink()));
    let text = refused.err().unwrap().to_string();
    assert!(text.contains("code is on the same page"), "{text}");
}

#[test]
fn a_machine_that_was_made_without_the_watches_is_refused() {
    let host = Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap();
    let guest = Guest::new(|a| end(a, 0));
    let machine = Machine::new(&host, &guest.config(), Box::new(sink())).unwrap();
    let text = refusal(super::run(machine, &[&Watch::of(PAGE)], Options::default()));
    assert!(text.contains("the machine was made without it"), "{text}");
}

#[test]
fn what_the_guest_does_wrong_is_named() {
    let copied_tables: fn(&mut CodeAssembler) -> Assembled = |a| {
        a.cld()?;
        a.mov(rsi, PML4)?;
        a.mov(rdi, SHARED)?;
        a.mov(ecx, 512)?;
        a.rep().movsq()?;
        a.mov(rax, SHARED)?;
        a.mov(cr3, rax)?;
        end(a, 0)
    };
    let fetched: fn(&mut CodeAssembler) -> Assembled = |a| {
        a.mov(rax, SHARED)?;
        a.jmp(rax)
    };
    let split: fn(&mut CodeAssembler) -> Assembled = |a| {
        a.lock().inc(qword_ptr(SHARED + 0xffc))?;
        end(a, 0)
    };
    for (code, reason) in
        [(copied_tables, "page table"), (fetched, "its code"), (split, "across the edge")]
    {
        let watch = Watch::of(PAGE);
        let result = run(&Guest::new(code), &[&watch]);
        if let Err(error) = &result {
            assert!(matches!(error, Error::Trapped { .. }), "{error}");
        }
        let text = refusal(result);
        assert!(text.contains(reason) && text.contains("probes watch something else"), "{text}");
    }
}

/// A breakpoint on the instruction that accesses trapped memory.
#[test]
fn with_breakpoints_on_the_accesses() {
    let (guest, [load, store, add]) = places(|a, [load, store, add]| {
        a.mov(rbx, SHARED)?;
        a.set_label(load)?;
        a.mov(rax, qword_ptr(rbx))?;
        a.set_label(store)?;
        a.mov(qword_ptr(rbx), rax)?;
        a.set_label(add)?;
        a.lock().inc(qword_ptr(rbx))?;
        end(a, 0)
    });
    for more in [&[][..], &[0x7000, 0x7001]] {
        let watch = Watch::of(PAGE);
        let spy = crate::testing::Spy::at(&[&[load, store, add], more].concat());
        ends_well(&run(&guest, &[&watch, &spy]).unwrap());
        assert_eq!(spy.order(0), [load, store, add]);
        assert_eq!(watch.accesses().len(), 4);
    }
}
