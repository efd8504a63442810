use std::path::Path;
use std::sync::Arc;

use crate::kvm::host::DEFAULT_DEVICE;
use crate::kvm::kick::Kicker;
use crate::kvm::{Host, Irqchip, Vm};
use crate::memory::{Memory, MemorySize};

#[test]
fn a_vcpu_keeps_its_memory_and_a_bound_thread_the_page_that_kicks_write() {
    let host = Host::open(Path::new(DEFAULT_DEVICE)).unwrap();
    let memory = Arc::new(Memory::new(MemorySize::new(4 << 20).unwrap()).unwrap());
    let vm = Vm::new(&host, memory.clone(), Irqchip::None).unwrap();
    let cpu = vm.create_cpu(0).unwrap();
    let left = Arc::downgrade(&memory);
    drop((vm, memory));
    assert!(left.upgrade().is_some(), "the vCPU could still run in it");
    let kicker = Kicker::default();
    let receiving = kicker.receive().unwrap();
    let bound = cpu.bind_to_thread();
    drop(cpu);
    assert!(left.upgrade().is_none());
    // The signal handler writes to the run page.
    kicker.kick();
    drop(bound);
    // Now it writes to no page.
    kicker.kick();
    drop(receiving);
}
