use crate::code::Code;
use crate::testing::load_emmett;

/// The arguments that each probe of a script uses.
fn arguments(text: &str) -> Vec<u16> {
    let script = load_emmett(text);
    let code: &Code = script.code();
    code.probes.iter().map(|probe| code.arguments(probe)).collect()
}

#[test]
fn only_what_a_probe_can_reach_counts() {
    let text = "int twice(void) { return 2 * ARG2; }
        int seen;
        Out { seen++; }
        Out(int port, int size) { seen = size; }
        Out /ARG0 == 0x80/ { if (seen) seen = twice(); else seen = 0; }
        Out { try { for (seen = 0; seen < 3; seen++) seen += ARG3; } catch { seen = 0; } }
        Out { return; seen = ARG0; }";
    assert_eq!(arguments(text), [0, 0b10, 0b101, 0b1000, 0]);
}
