use iced_x86::code_asm::*;

use super::*;
use crate::controlled::Point;
use crate::controlled::test_guest::{
    Assembled, CODE, DATA, GDT, Guest, IDT, PDPT, PML4, SHARED, SHARED_END, end,
};
use crate::end::End;

/// Some code, and the text of its instruction.
type Case = (fn(&mut CodeAssembler) -> Assembled, &'static str);

/// The ending of a guest with one vCPU.
fn run(guest: &Guest) -> Result<End> {
    guest.machine().run(&mut |point: &Point| point.enabled[0], 10_000)
}

fn run_code(code: impl FnOnce(&mut CodeAssembler) -> Assembled) -> Result<End> {
    run(&Guest::new(|a| {
        code(a)?;
        end(a, 0)
    }))
}

/// The unsupported access that the run ends with, and RIP.
fn unsupported(ending: Result<End>) -> (UnsupportedAccess, u64) {
    match ending {
        Err(error @ Error::Trapped { .. }) => {
            let text = error.to_string();
            assert!(text.contains("vCPU 0 at RIP 0x1") && text.contains("--granularity"), "{text}");
            println!("{text}");
            let Error::Trapped { unsupported, rip, .. } = error else { unreachable!() };
            (unsupported, rip)
        }
        other => panic!("{other:?}"),
    }
}

fn split(instruction: &str, gva: u64, gpa: u64, size: usize) -> UnsupportedAccess {
    UnsupportedAccess::Split { instruction: instruction.into(), gva, gpa, size }
}

#[test]
fn what_watched_pages_are_for_is_let_through() {
    let ending = run_code(|a| {
        a.mov(rbx, SHARED)?;
        a.mov(qword_ptr(rbx), rax)?;
        a.mov(qword_ptr(SHARED_END - 8), rax)?;
        a.mov(byte_ptr(SHARED_END - 1), al)?;
        a.mov(qword_ptr(SHARED + 0xff8), rax)?;
        a.mov(qword_ptr(SHARED + 0x1000), rax)?;
        a.mov(rax, qword_ptr(SHARED + 3))?;
        a.inc(dword_ptr(SHARED + 0xffc))?;
        a.lock().xadd(qword_ptr(SHARED + 0x1000), rax)?;
        a.lock().cmpxchg8b(qword_ptr(SHARED + 0x10))?;
        a.movzx(eax, byte_ptr(SHARED_END - 1))?;
        a.lock().bts(qword_ptr(SHARED), 4)?;
        // Across all of the page, and over its edge, one element at a time.
        a.cld()?;
        a.mov(rdi, SHARED - 16)?;
        a.mov(ecx, 0x404)?;
        a.rep().stosq()?;
        a.mov(rsi, SHARED)?;
        a.mov(rdi, SHARED + 0x1000)?;
        a.mov(ecx, 3)?;
        a.rep().movsd()?;
        a.cmpsb()?;
        // A stack.
        a.mov(rsp, SHARED_END)?;
        a.push(rax)?;
        a.pop(rcx)?;
        a.mov(rsp, SHARED + 8)?;
        a.push(rax)?;
        a.pushfq()?;
        a.popfq()?;
        // A loop of stores to consecutive addresses.
        let mut again = a.create_label();
        a.mov(rdi, SHARED + 0xfe0)?;
        a.set_label(&mut again)?;
        a.mov(qword_ptr(rdi), rax)?;
        a.add(rdi, 8)?;
        a.cmp(rdi, (SHARED + 0x1020) as i32)?;
        a.jne(again)
    });
    assert_eq!(ending.unwrap(), End::Guest { code: 0 });
}

#[test]
fn accesses_across_watched_pages() {
    let middle = SHARED + 0xffc;
    let cases: [Case; 4] = [
        (|a| a.mov(rcx, qword_ptr(SHARED + 0xffc)), "mov 0x180ffc,%rcx"),
        (|a| a.inc(qword_ptr(SHARED + 0xffc)), "incq 0x180ffc"),
        (|a| a.lock().inc(qword_ptr(SHARED + 0xffc)), "lock incq 0x180ffc"),
        (|a| a.mov(qword_ptr(SHARED + 0xffc), rbx), "mov %rbx,0x180ffc"),
    ];
    for (code, text) in cases {
        let (found, rip) = unsupported(run_code(code));
        let UnsupportedAccess::Split { instruction, gva, size, .. } = found else {
            panic!("{found:?}")
        };
        assert_eq!((&*instruction, gva, size), (text, middle, 8));
        assert_eq!(rip, CODE);
    }
}

#[test]
fn accesses_from_watched_pages_to_others() {
    for address in [SHARED - 4, SHARED - 1, SHARED_END - 4, SHARED_END - 7] {
        let gpa = address.max(SHARED);
        let (found, _) = unsupported(run_code(|a| a.mov(rcx, qword_ptr(address))));
        assert_eq!(found, split(&format!("mov {address:#x},%rcx"), address, gpa, 8));
        let (found, rip) = unsupported(run_code(|a| {
            for _ in 0..20 {
                a.add(dword_ptr(DATA), 0x4848_4848)?;
            }
            a.mov(edi, address as u32)?;
            a.mov(qword_ptr(rdi), rax)
        }));
        assert_eq!(found, split("mov %rax,(%rdi)", address, gpa, 8), "at {rip:#x}");
    }
    // The same bytes without the prefix are another instruction.
    let ending = run_code(|a| {
        a.mov(dword_ptr(DATA + 0x48), 0x4800_0000u32)?;
        a.mov(edi, (SHARED_END - 4) as u32)?;
        a.mov(dword_ptr(DATA), 0x4848_4848u32)?;
        a.mov(dword_ptr(rdi), eax)
    });
    assert_eq!(ending.unwrap(), End::Guest { code: 0 });
}

#[test]
fn accesses_of_16_bytes() {
    let cases: [Case; 4] = [
        (|a| a.movups(xmm0, xmmword_ptr(SHARED + 0x20)), "movups 0x180020,%xmm0"),
        (|a| a.movups(xmmword_ptr(SHARED), xmm0), "movups %xmm0,0x180000"),
        (|a| a.lock().cmpxchg16b(xmmword_ptr(SHARED + 0x20)), "lock cmpxchg16b 0x180020"),
        (|a| a.movdqu(xmmword_ptr(SHARED + 0x20), xmm0), "movdqu %xmm0,0x180020"),
    ];
    for (code, text) in cases {
        let (found, _) = unsupported(run_code(code));
        match found {
            UnsupportedAccess::Split { instruction, size: 16, .. } => assert_eq!(instruction, text),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_split_store_whose_address_is_gone() {
    let (found, _) = unsupported(run_code(|a| {
        for _ in 0..20 {
            a.add(dword_ptr(DATA), 0x1234_5678)?;
        }
        a.mov(rsp, SHARED + 0x1004)?;
        a.push(rax)
    }));
    assert_eq!(
        found,
        UnsupportedAccess::Part { instruction: "push %rax".into(), gpa: SHARED + 0x1000 }
    );
}

#[test]
fn code_in_a_watched_page() {
    let (found, rip) = unsupported(run_code(|a| {
        a.mov(rax, SHARED + 0x40)?;
        a.jmp(rax)
    }));
    assert_eq!((found, rip), (UnsupportedAccess::Fetch { gpa: SHARED + 0x40 }, SHARED + 0x40));
}

#[test]
fn page_tables_in_watched_pages() {
    // CR3 itself, with a usable table at this address.
    let (found, _) = unsupported(run(&Guest::new(|a| {
        a.mov(rax, SHARED)?;
        a.mov(cr3, rax)?;
        end(a, 0)
    })
    .with(SHARED, &(PDPT | 7).to_le_bytes())));
    assert_eq!(found, UnsupportedAccess::PageTable { gpa: SHARED, cr3: SHARED });
    // A lower-level table, for a part of the address space that is never accessed.
    let (found, _) = unsupported(run_code(|a| {
        a.mov(rax, (SHARED + 0x1000) | 7)?;
        a.mov(qword_ptr(PML4 + 8), rax)?;
        a.mov(rax, cr3)?;
        a.mov(cr3, rax)
    }));
    assert_eq!(found, UnsupportedAccess::PageTable { gpa: SHARED + 0x1000, cr3: PML4 });
}

/// `lgdt` or `lidt` of a table at this address.
fn load_table(
    a: &mut CodeAssembler,
    base: u64,
    load: impl FnOnce(&mut CodeAssembler, AsmMemoryOperand) -> Assembled,
) -> Assembled {
    a.mov(word_ptr(DATA), 0xff)?;
    a.mov(rax, base)?;
    a.mov(qword_ptr(DATA + 2), rax)?;
    load(a, tbyte_ptr(DATA))
}

#[test]
fn descriptor_tables_in_watched_pages() {
    let (found, _) = unsupported(run_code(|a| load_table(a, SHARED, CodeAssembler::lgdt)));
    assert_eq!(found, UnsupportedAccess::Table { name: "GDT", gva: SHARED, gpa: SHARED });
    let (found, _) = unsupported(run_code(|a| load_table(a, SHARED, CodeAssembler::lidt)));
    assert_eq!(found, UnsupportedAccess::Table { name: "IDT", gva: SHARED, gpa: SHARED });
    // The table is used before it is checked: KVM retries for ever.
    let (found, _) = unsupported(run_code(|a| {
        load_table(a, SHARED, CodeAssembler::lgdt)?;
        a.mov(ax, 0x10)?;
        a.mov(ds, ax)
    }));
    assert_eq!(found, UnsupportedAccess::Table { name: "GDT", gva: SHARED, gpa: SHARED });
    let (found, _) = unsupported(run_code(|a| {
        load_table(a, SHARED, CodeAssembler::lidt)?;
        a.ud2()
    }));
    assert_eq!(found, UnsupportedAccess::Table { name: "IDT", gva: SHARED, gpa: SHARED });
    // A table that ends in the page.
    let (found, _) = unsupported(run_code(|a| load_table(a, SHARED - 0x18, CodeAssembler::lidt)));
    assert_eq!(
        found,
        UnsupportedAccess::Table { name: "IDT", gva: SHARED + 0xe7, gpa: SHARED + 0xe7 }
    );
    let task = 0x67 | (SHARED & 0xff_ffff) << 16 | 0x89 << 40;
    let guest = Guest::new(|a| {
        a.mov(ax, 0x18)?;
        a.ltr(ax)?;
        end(a, 0)
    });
    let (found, _) = unsupported(run(&guest.with(GDT + 0x18, &u64::to_le_bytes(task))));
    assert_eq!(found, UnsupportedAccess::Table { name: "TSS", gva: SHARED, gpa: SHARED });
    assert_ne!(IDT, SHARED);
}

#[test]
fn an_instruction_that_kvm_cannot_do_there() {
    let (found, _) = unsupported(run_code(|a| a.sgdt(tbyte_ptr(SHARED + 0x20))));
    let instruction = "sgdt 0x180020".to_owned();
    let gva = SHARED + 0x20;
    assert_eq!(found, UnsupportedAccess::Unsupported { instruction, gva, gpa: gva });
}
