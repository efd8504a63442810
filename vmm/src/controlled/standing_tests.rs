use super::*;
use crate::controlled::testing::{machine, random};

#[test]
fn a_vcpu_stands_at_the_instruction_that_makes_its_access() {
    let (mut machine, mut choose) = (machine("lost-update"), random(1));
    let (mut loads, mut stores, mut ports) = (0, 0, 0);
    for point in 1..400 {
        let ending = machine.run(&mut choose, point).unwrap();
        if ending != crate::end::End::Budget {
            break;
        }
        for vcpu in 0..machine.vcpus.len() as u32 {
            let standing = machine.standing(vcpu).unwrap();
            let About::Access(exit) = &standing.about else { continue };
            match exit {
                Exit::MmioRead { .. } => loads += 1,
                Exit::MmioWrite { .. } => stores += 1,
                _ => ports += 1,
            }
            let (registers, system, memory) =
                (standing.registers, standing.system, machine.memory.clone());
            let decoded = machine.instructions.at(registers.rip, &system, &memory).unwrap();
            assert!(makes(&decoded, exit, &registers, &system, &memory), "{exit:?}");
        }
        // A snapshot makes the host move RIP; the place stays.
        let stand = |machine: &mut ControlledMachine| -> Vec<_> {
            (0..machine.vcpus.len() as u32).map(|v| machine.standing(v).unwrap()).collect()
        };
        let before = stand(&mut machine);
        machine.save().unwrap();
        assert_eq!(stand(&mut machine), before);
    }
    assert!(loads > 0 && stores > 0 && ports > 0, "{loads}, {stores}, {ports}");
}
