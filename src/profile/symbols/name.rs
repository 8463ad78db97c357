//! Names for people out of names for linkers, at a bounded cost: the crate in demangle/.

pub(super) use cgoheap_demangle::{cut, demangle, is_mangled};

#[cfg(test)]
mod tests {
    use super::*;
    use cgoheap_demangle::{CUT, LONGEST};

    #[test]
    fn only_mangled_names_are_demangled() {
        assert_eq!(demangle("f"), "f");
        assert_eq!(demangle("_Znwm"), "operator new(unsigned long)");
        assert_eq!(
            demangle("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE"),
            "core::fmt::Write::write_fmt"
        );
        assert_eq!(demangle("_RNvC6_123foo3bar"), "123foo::bar");
        assert_eq!(demangle("_Z?"), "_Z?");
    }

    /// Each parameter is a function of the one before, three times: 3^n.
    fn cpp_bomb(levels: usize) -> String {
        let mut name = "_Z1fM1AFvvE".to_owned();
        const DIGITS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        for level in 0..levels {
            let id = match level {
                0 => "S1_".to_owned(),
                _ => format!("S{}_", DIGITS[level % 36] as char),
            };
            name += &format!("PF{id}{id}{id}E");
        }
        name
    }

    #[test]
    fn a_name_that_doubles_with_each_part_is_cut_while_it_is_written() {
        let names = [
            cpp_bomb(16),
            // std::pair of pairs of pairs ...
            (0..25).fold("_Z1fSt4pairIiiE".to_owned(), |name, level| {
                let id = match level {
                    0 => "S0_".to_owned(),
                    _ => format!(
                        "S{}_",
                        (b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")[(level).min(35)] as char
                    ),
                };
                name + &format!("St4pairI{id}{id}E")
            }),
            // Rust: a tuple of the tuple before, twice.
            (0..30).fold("_RIC0".to_owned(), |name, _| name + "TTTTTTTTTT") + &"B4_".repeat(40) + "E",
            format!("_RMC0{}pB_B_EE", "TB_".repeat(20)),
        ];
        for name in names {
            let shown = demangle(&name);
            assert!(shown.len() <= LONGEST + CUT.len(), "{} bytes of {name}", shown.len());
        }
    }

    /// A minute and more each, if they were parsed: the test would not end.
    #[test]
    fn a_name_that_can_be_read_in_too_many_ways_stays_mangled() {
        for part in ["cvT_I", "cvT0_I", "cvT_Inwpl", "cvPKT_ISt", "cvT_IT_I"] {
            let name = "_Z".to_owned() + &part.repeat(200);
            assert_eq!(demangle(&name), name);
        }
        let conversion = "_ZN4fromcvT_I1aEI1bEEv";
        assert_ne!(demangle(conversion), conversion);
    }

    /// Deep recursion ends by the parser's limits, not the stack's.
    #[test]
    fn a_deeply_nested_name_comes_back() {
        for part in [
            "P", "F", "1fI", "srDT", "N1aI", "LDT", "XLDT", "St1aI", "Z1f", "Dv_DT", "T_I",
        ] {
            for start in ["_Z1f", "_Z", "_Z1fIX", "_R", "_RNvC"] {
                let name = start.to_owned() + &part.repeat(8000 / part.len());
                assert!(!demangle(&name).is_empty());
            }
        }
    }

    #[test]
    fn what_is_cut_says_so_and_keeps_its_beginning() {
        let long = "é".repeat(LONGEST);
        let shown = cut(&long);
        assert_eq!(shown, "é".repeat(LONGEST / 2) + CUT);
        assert_eq!(demangle(&long), shown);
        assert_eq!(cut("short"), "short");
        let name = format!("_Z{0}{1}I{0}{1}Ev", LONGEST - 100, "x".repeat(LONGEST - 100));
        let whole = format!("void {0}<{0}>()", "x".repeat(LONGEST - 100));
        assert_eq!(demangle(&name), whole[..LONGEST].to_owned() + CUT);
        let name = format!(
            "_ZN{0}{1}{0}{1}17h0123456789abcdefE",
            LONGEST - 100,
            "x".repeat(LONGEST - 100)
        );
        assert_eq!(
            demangle(&name),
            "x".repeat(LONGEST - 100) + "::" + &"x".repeat(98) + CUT
        );
    }
}
