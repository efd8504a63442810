use std::iter;

use super::*;
use crate::memory::MemorySize;
use crate::scripted::ScriptedCpu;

struct Holds(Duration);

impl Hook for Holds {
    fn points(&self) -> Points {
        Points::EXIT
    }

    fn exit(&mut self, _: &mut Context, _: &Exit) -> Verdict {
        Verdict::Hold(self.0)
    }
}

#[test]
fn holds_add_up_to_no_more_than_there_is() {
    let memory = Memory::new(MemorySize::default()).unwrap();
    let held = |times: &[Duration]| {
        let hooks = times.iter().map(|time| -> Box<dyn Hook> { Box::new(Holds(*time)) });
        let mut context = Context {
            vcpu: 0,
            vcpus: 1,
            cpu: &mut ScriptedCpu::new(iter::empty()),
            memory: &memory,
            now: Duration::ZERO,
            point: None,
            started: true,
            held: false,
            actions: None,
        };
        HookSet::new(hooks).exit(&mut context, &Exit::Kicked)
    };
    let second = Duration::from_secs(1);
    assert_eq!(held(&[]), Duration::ZERO);
    assert_eq!(held(&[second, second]), 2 * second);
    assert_eq!(held(&[Duration::MAX, second]), Duration::MAX);
}
