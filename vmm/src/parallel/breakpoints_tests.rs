//! Breakpoints with the real KVM, by each of the available mechanisms.

use std::io::sink;
use std::path::Path;

use iced_x86::code_asm::*;

use super::*;
use crate::controlled::test_guest::{Assembled, DATA, Guest, LAPIC, end, places, start_others};
use crate::end::End;
use crate::kvm::{Host, host};
use crate::testing::Spy;

/// An address without RAM: an access exits as MMIO.
const NOWHERE: u64 = 0x1000_0000;
/// Addresses that are never reached, so that there are more addresses than hardware breakpoints.
const MANY: [u64; 5] = [0x7000, 0x7001, 0x7002, 0x7003, 0x7004];

fn host() -> Host {
    Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap()
}

/// The capabilities of the host, and the same without its hardware breakpoints.
fn ways() -> Vec<DebugCapabilities> {
    let all = DebugCapabilities::of(&host());
    let mut ways = vec![DebugCapabilities { breakpoints: false, ..all }];
    if all.breakpoints {
        ways.push(all);
    }
    ways
}

fn run(guest: &Guest, spy: &Spy, stopping: DebugCapabilities) -> Outcome {
    let machine = Machine::new(&host(), &guest.config(), Box::new(sink())).unwrap();
    let options = Options { timeout: Some(Duration::from_secs(20)), ..Options::default() };
    run_stopping(machine, &[spy], options, || Ok(stopping)).unwrap()
}

/// A mechanism to test: the capabilities, and the number of addresses.
struct Way {
    stopping: DebugCapabilities,
    addresses: usize,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} addresses", self.stopping, self.addresses)
    }
}

/// Runs a guest, which must end successfully, with each mechanism, with few addresses and with
/// many.
fn check(guest: &Guest, spy: &Spy, verify: impl Fn(&Spy, &Outcome, &Way)) {
    for stopping in ways() {
        for more in [&[][..], &MANY] {
            let spy = Spy { addresses: [&spy.addresses, more].concat(), ..spy.afresh() };
            let outcome = run(guest, &spy, stopping);
            let way = Way { stopping, addresses: spy.addresses.len() };
            assert!(matches!(outcome.end, End::Guest { code: 0 }), "{way}: {:?}", outcome.end);
            verify(&spy, &outcome, &way);
            for vcpu in &outcome.vcpus {
                for hits in &vcpu.breakpoints {
                    let noted = spy.hits(hits.address);
                    let of_this = noted.iter().filter(|hit| hit.vcpu == vcpu.vcpu).count();
                    assert_eq!(of_this as u64, hits.hits, "{way}: {:#x}", hits.address);
                }
            }
        }
    }
}

#[test]
fn each_time_before_the_instruction() {
    const ROUNDS: u64 = 20;
    let (guest, [load, again, last]) = places(|a, [load, again, last]| {
        a.set_label(load)?;
        a.mov(ebx, ROUNDS as u32)?;
        a.set_label(again)?;
        a.dec(rbx)?;
        a.jnz(*again)?;
        a.set_label(last)?;
        end(a, 0)
    });
    check(&guest, &Spy::at(&[load, again, last]), |spy, outcome, way| {
        assert_eq!((spy.count(load), spy.count(last)), (1, 1), "{way}");
        let left: Vec<u64> = spy.hits(again).iter().map(|hit| hit.rbx).collect();
        assert_eq!(left, (1..=ROUNDS).rev().collect::<Vec<_>>(), "{way}");
        assert!(spy.hits(again).iter().all(|hit| hit.rip == again), "{way}");
        assert_eq!(outcome.vcpus[0].exits.total(), 1, "{way}: hits are no exits");
    });
}

#[test]
fn at_an_access_and_behind_it() {
    const ROUNDS: u64 = 5;
    let (guest, places) = places(|a, [load, store, inc, read, write, behind]| {
        a.mov(ebx, ROUNDS as u32)?;
        a.mov(rsi, NOWHERE)?;
        a.set_label(load)?;
        a.mov(rax, qword_ptr(rsi))?;
        a.set_label(store)?;
        a.mov(qword_ptr(rsi + 8), rax)?;
        a.set_label(inc)?;
        a.inc(dword_ptr(rsi + 16))?;
        a.set_label(read)?;
        a.in_(al, 0x80u32)?;
        a.set_label(write)?;
        a.out(0x80u32, al)?;
        a.set_label(behind)?;
        a.dec(ebx)?;
        a.jnz(*load)?;
        end(a, 0)
    });
    for place in &places {
        check(&guest, &Spy::at(&[*place]), |spy, outcome, way| {
            assert_eq!(spy.count(*place) as u64, ROUNDS, "{way}: {place:#x}");
            let exits = &outcome.vcpus[0].exits;
            assert_eq!((exits.mmio_read, exits.mmio_write), (2 * ROUNDS, 2 * ROUNDS), "{way}");
            assert_eq!((exits.port_read, exits.port_write), (ROUNDS, ROUNDS + 1), "{way}");
        });
    }
    check(&guest, &Spy::at(&places), |spy, _, way| {
        assert_eq!(spy.order(0), places.repeat(ROUNDS as usize), "{way}");
    });
}

#[test]
fn a_repeated_instruction_once_and_a_loop_of_one_each_time() {
    let (guest, [string, around]) = places(|a, [string, around]| {
        a.mov(edi, DATA as u32)?;
        a.mov(ecx, 100)?;
        a.set_label(string)?;
        a.rep().stosb()?;
        a.mov(ecx, 10)?;
        a.set_label(around)?;
        a.loop_(*around)?;
        end(a, 0)
    });
    check(&guest, &Spy::at(&[string, around]), |spy, _, way| {
        assert_eq!((spy.count(string), spy.count(around)), (1, 10), "{way}");
    });
}

/// Sets the LAPIC's timer to go off once.
fn set_timer(a: &mut CodeAssembler) -> Assembled {
    for (register, value) in [(0xf0, 0x1ff), (0x3e0, 0xb), (0x320, 0x41), (0x380, 3_000_000)] {
        a.mov(rsi, LAPIC)?;
        a.mov(dword_ptr(rsi + register), value)?;
    }
    Ok(())
}

#[test]
fn a_halted_vcpu_sleeps_and_wakes() {
    const ROUNDS: u64 = 3;
    let (guest, places) = places(|a, [halt, behind, again]| {
        a.mov(ebx, ROUNDS as u32)?;
        a.set_label(again)?;
        a.cli()?;
        set_timer(a)?;
        a.sti()?;
        a.set_label(halt)?;
        a.hlt()?;
        a.set_label(behind)?;
        a.dec(ebx)?;
        a.jnz(*again)?;
        end(a, 0)
    });
    let (guest, handler) = guest.handle_at(0x41, |a| {
        a.push(rsi)?;
        a.mov(rsi, LAPIC)?;
        a.mov(dword_ptr(rsi + 0xb0), 0)?;
        a.pop(rsi)?;
        a.iretq()
    });
    let [halt, behind, _] = places;
    for wanted in [&[halt][..], &[behind], &[halt, behind], &[handler], &[halt, behind, handler]] {
        check(&guest, &Spy::at(wanted), |spy, outcome, way| {
            let DebugCapabilities { breakpoints, steps_from_handlers, .. } = way.stopping;
            for place in wanted {
                // The places that steps alone miss, according to the host's capabilities.
                if !breakpoints && (*place == handler || *place == behind && !steps_from_handlers) {
                    continue;
                }
                let seen = spy.count(*place) as u64;
                assert_eq!(seen, ROUNDS, "{way}: {place:#x} of {wanted:x?}");
            }
            // 3 ms each.
            assert!(outcome.elapsed > Duration::from_millis(3 * ROUNDS), "{way}");
            if let [halt, behind] = wanted {
                for (before, after) in spy.hits(*halt).iter().zip(spy.hits(*behind)) {
                    assert!(after.now > before.now, "{way}");
                }
            }
        });
    }
}

#[test]
fn processors_that_are_started_later_have_them_too() {
    let (guest, [started, counted]) = places(|a, [started, counted]| {
        let mut wait = a.create_label();
        a.set_label(started)?;
        a.test(edi, edi)?;
        a.jnz(*counted)?;
        start_others(a)?;
        a.set_label(&mut wait)?;
        a.pause()?;
        a.cmp(dword_ptr(DATA), 2)?;
        a.jne(wait)?;
        end(a, 0)?;
        a.set_label(counted)?;
        a.lock().inc(dword_ptr(DATA))?;
        a.hlt()
    });
    check(&guest.with_vcpus(3), &Spy::at(&[started, counted]), |spy, _, way| {
        let mut vcpus: Vec<u32> = spy.hits(started).iter().map(|hit| hit.vcpu).collect();
        vcpus.sort_unstable();
        assert_eq!(vcpus, [0, 1, 2], "{way}");
        assert_eq!(spy.count(counted), 2, "{way}");
    });
}

#[test]
fn the_set_may_change_at_a_hit() {
    let (guest, [function, _]) = places(|a, [function, over]| {
        a.mov(ebx, 5)?;
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        a.call(*function)?;
        a.dec(ebx)?;
        a.jnz(again)?;
        a.jmp(*over)?;
        a.set_label(function)?;
        a.inc(eax)?;
        a.ret()?;
        a.set_label(over)?;
        end(a, 0)
    });
    let spy = Spy { enter: Some(function), ..Spy::at(&[function]) };
    check(&guest, &spy, |spy, _, way| {
        let order = spy.order(0);
        assert_eq!(order.len(), 10, "{way}");
        let pairs: Vec<_> = order.chunks(2).collect();
        assert!(pairs.iter().all(|pair| pair[0] == function && pair[1] == pairs[0][1]), "{way}");
    });
}

/// The handler of an exception, whose entry steps alone would miss.
#[test]
fn the_entry_of_a_handler() {
    const UD: u8 = 6;
    let (guest, [bad, behind]) = places(|a, [bad, behind]| {
        a.set_label(bad)?;
        a.ud2()?;
        a.set_label(behind)?;
        end(a, 0)
    });
    let (guest, handler) = guest.handle_at(UD, |a| {
        let mut marked = a.create_label();
        a.add(qword_ptr(rsp), 2)?;
        // The trap flag on the stack must not be visible to the guest.
        a.test(dword_ptr(rsp + 16), 0x100)?;
        a.jnz(marked)?;
        a.iretq()?;
        a.set_label(&mut marked)?;
        end(a, 5)
    });
    let wanted = Spy::at(&[MANY[0], MANY[1], MANY[2], MANY[3], bad, behind, handler]);
    let all = DebugCapabilities::of(&host());
    let outcome = run(&guest, &wanted, all);
    assert_eq!(wanted.count(bad), 1);
    if all.steps_into_handlers {
        assert!(matches!(outcome.end, End::Guest { code: 0 }), "{:?}", outcome.end);
    }
    if all.breakpoints {
        assert_eq!((wanted.count(handler), wanted.count(behind)), (1, 1));
    }
}

/// Steps alone have to find every instruction, whatever the previous instruction did.
#[test]
fn behind_unusual_instructions() {
    let (guest, places) = places(|a, [cpuid, tsc, msr, cr, page, table, stack, on, off, far]| {
        a.xor(eax, eax)?;
        a.cpuid()?;
        a.set_label(cpuid)?;
        a.rdtsc()?;
        a.set_label(tsc)?;
        a.mov(ecx, 0xc000_0080u32)?;
        a.rdmsr()?;
        a.set_label(msr)?;
        a.wrmsr()?;
        a.set_label(cr)?;
        a.mov(rax, cr3)?;
        a.mov(cr3, rax)?;
        a.set_label(page)?;
        a.invlpg(byte_ptr(DATA))?;
        a.set_label(table)?;
        a.mov(eax, ss)?;
        a.mov(ss, eax)?;
        a.set_label(stack)?;
        a.nop()?;
        a.sti()?;
        a.set_label(on)?;
        a.cli()?;
        a.set_label(off)?;
        a.pushfq()?;
        a.popfq()?;
        a.set_label(far)?;
        end(a, 0)
    });
    let stack = places[6];
    for place in places {
        check(&guest, &Spy::at(&[place]), |spy, _, way| {
            // Behind MOV SS, steps don't stop on a processor.
            let DebugCapabilities { breakpoints, steps_into_handlers, .. } = way.stopping;
            if place != stack || breakpoints || steps_into_handlers {
                assert_eq!(spy.count(place), 1, "{way}: {place:#x}");
            }
        });
    }
}
