use super::*;
use crate::linux::Finder;
use crate::linux::test_kernel::{Form, IMAGE, SYMBOLS, guest, put, symbols, tables};

#[test]
fn a_variable_ends_at_the_next_symbol_and_is_told_from_all_else() {
    let (memory, system) = guest();
    let mut all = symbols();
    let end = all.pop().expect("symbols");
    let more = [
        (0xa030, "Djiffies_64"),
        (0xa030, "Djiffies"),
        (0xa040, "dcount"),
        (0xa050, "bcount"),
        (0xa060, "D__init_begin"),
        (0xa070, "dstart_data"),
        (0xa080, "D__init_end"),
    ];
    all.extend(more.map(|(at, name)| (IMAGE + at, name.to_owned())));
    all.push(end);
    put(&memory, SYMBOLS, &tables(Form::Before, &all));
    let kernel = Finder::default().kernel(&system, &memory).expect("a kernel");
    for name in ["jiffies", "jiffies_64"] {
        assert_eq!(kernel.variable(name), Ok(Some(IMAGE + 0xa030..IMAGE + 0xa040)));
    }
    let refused = |name: &str| kernel.variable(name).expect_err("no variable");
    assert_eq!(refused("count"), "2 variables of the kernel are called count");
    assert_eq!(refused("start_data"), "the kernel uses start_data only during its start");
    assert_eq!(refused("last_function"), "last_function is a function");
    assert_eq!(kernel.variable("nothing"), Ok(None));
    // It is an offset into each vCPU's own data.
    assert_eq!(kernel.variable("current_task"), Ok(None));
}

#[test]
fn a_range_is_translated_as_a_whole() {
    let (memory, system) = guest();
    let range = |start: u64, size| IMAGE + start..IMAGE + start + size;
    assert_eq!(physical(&range(0xff8, 16), &system, &memory), Ok(0x20_0ff8..0x20_1008));
    let beyond = physical(&range(0x1f_fff8, 16), &system, &memory);
    assert_eq!(beyond, Err("not all of it is mapped"));
    assert_eq!(physical(&(0x1000..0x1008), &system, &memory), Err("its address is not mapped"));
    // Two pages of 4 KiB, in the other order.
    let index = |shift: u32| (IMAGE >> shift & 0x1ff) * 8;
    let write = |at: u64, value: u64| memory.write(at, &value.to_le_bytes()).expect("RAM");
    write(0x10_2000 + index(21), 0x10_3000 | 3);
    write(0x10_3000, 0x20_1000 | 3);
    write(0x10_3008, 0x20_0000 | 3);
    assert_eq!(physical(&range(0xff8, 8), &system, &memory), Ok(0x20_1ff8..0x20_2000));
    let apart = physical(&range(0xff8, 16), &system, &memory);
    assert_eq!(apart, Err("it is on several pages that are not in one piece of memory"));
}
