//! What `ld -r` and objcopy leave undone for the archive, on an ELF object for x86-64 or AArch64. Compiled by `build-archive.sh`; std only.
//!
//!     prelink cut OBJECT OUT WORD...    makes functions whose symbol holds all the words return 0 at once, and lets go of
//!                                       what they referred to, so that `ld --gc-sections` can drop it
//!     prelink resolve OBJECT OUT        settles the references from .text to .text, whose distance no later link changes:
//!                                       a relocation takes 24 bytes, six times what it fills in
//!
//! `cut` is for the printing of backtraces by the standard library's panic message: it brings a second reader of debug
//! information along, which nobody would ever see at work, since our panics are caught. `resolve` leaves global symbols
//! alone, which a shared library's loader may want to redirect.

use std::process::ExitCode;

const R_NONE: u64 = 0;
const EM_AARCH64: usize = 183;
const RELA_SIZE: usize = 24;
const SYMBOL_SIZE: usize = 24;

struct Object(Vec<u8>);

#[derive(Clone, Copy)]
struct Section {
    header: usize, // where its header lies in the file
    kind: u32,
    offset: usize,
    size: usize,
    link: usize,
    info: usize,
}

struct Symbol {
    name: usize,
    info: u8,
    section: usize,
    value: u64,
    size: u64,
}

impl Object {
    fn u16(&self, at: usize) -> usize {
        u16::from_le_bytes(self.0[at..at + 2].try_into().unwrap()).into()
    }
    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }
    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap())
    }
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn section(&self, index: usize) -> Section {
        let header = self.u64(0x28) as usize + index * 64;
        Section {
            header,
            kind: self.u32(header + 4),
            offset: self.u64(header + 24) as usize,
            size: self.u64(header + 32) as usize,
            link: self.u32(header + 40) as usize,
            info: self.u32(header + 44) as usize,
        }
    }

    fn sections(&self) -> impl Iterator<Item = (usize, Section)> + '_ {
        // With 65,280 sections or more their number is in the first header.
        let count = match self.u16(0x3c) {
            0 => self.section(0).size,
            count => count,
        };
        (0..count).map(|index| (index, self.section(index)))
    }

    fn name(&self, strings: Section, at: usize) -> &str {
        let bytes = &self.0[strings.offset + at..strings.offset + strings.size];
        std::str::from_utf8(bytes.split(|byte| *byte == 0).next().unwrap()).unwrap_or("")
    }

    fn symbol(&self, table: Section, index: usize) -> Symbol {
        let at = table.offset + index * SYMBOL_SIZE;
        Symbol {
            name: self.u32(at) as usize,
            info: self.0[at + 4],
            section: self.u16(at + 6),
            value: self.u64(at + 8),
            size: self.u64(at + 16),
        }
    }

    fn machine(&self) -> usize {
        self.u16(0x12)
    }

    /// Fills in `distance` at `at` in the file as a relocation of this kind would; false if it is of another kind.
    fn relocate(&mut self, kind: u32, at: usize, distance: i64) -> Result<bool, String> {
        const R_X86_64_PC32: u32 = 2;
        const R_X86_64_PLT32: u32 = 4;
        const R_AARCH64_JUMP26: u32 = 282;
        const R_AARCH64_CALL26: u32 = 283;
        match (self.machine(), kind) {
            (EM_AARCH64, R_AARCH64_JUMP26 | R_AARCH64_CALL26) => {
                let words = distance / 4;
                if !(-(1 << 25)..1 << 25).contains(&words) {
                    return Err("a distance beyond 128 MiB".into());
                }
                let instruction = self.u32(at) & 0xfc00_0000 | words as u32 & 0x03ff_ffff;
                self.put(at, &instruction.to_le_bytes());
            }
            (machine, R_X86_64_PC32 | R_X86_64_PLT32) if machine != EM_AARCH64 => {
                let distance = i32::try_from(distance).map_err(|_| "a distance beyond 2 GiB")?;
                self.put(at, &distance.to_le_bytes());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn cut(&mut self, words: &[String]) -> Result<(), String> {
        const SHT_SYMTAB: u32 = 2;
        const SHT_RELA: u32 = 4;
        const STT_FUNC: u8 = 2;
        let return_0: &[u8] = match self.machine() {
            EM_AARCH64 => &[0x00, 0x00, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6], // mov w0, #0; ret
            _ => &[0x31, 0xc0, 0xc3],                                        // xor eax, eax; ret
        };
        let (_, table) = self
            .sections()
            .find(|(_, s)| s.kind == SHT_SYMTAB)
            .ok_or("no symbols")?;
        let strings = self.section(table.link);
        let found: Vec<Symbol> = (0..table.size / SYMBOL_SIZE)
            .map(|index| self.symbol(table, index))
            .filter(|symbol| symbol.info & 15 == STT_FUNC && symbol.section != 0)
            .filter(|symbol| {
                words
                    .iter()
                    .all(|word| self.name(strings, symbol.name).contains(word.as_str()))
            })
            .collect();
        if found.is_empty() {
            return Err(format!("no function named with {words:?}"));
        }
        for symbol in found {
            if (symbol.size as usize) < return_0.len() {
                return Err("a function too short to return 0".into());
            }
            self.put(self.section(symbol.section).offset + symbol.value as usize, return_0);
            let body = symbol.value..symbol.value + symbol.size;
            let relocations: Vec<Section> = self
                .sections()
                .map(|(_, section)| section)
                .filter(|section| section.kind == SHT_RELA && section.info == symbol.section)
                .collect();
            for section in relocations {
                for at in (section.offset..section.offset + section.size).step_by(RELA_SIZE) {
                    if body.contains(&self.u64(at)) {
                        self.put(at + 8, &R_NONE.to_le_bytes());
                    }
                }
            }
        }
        Ok(())
    }

    fn resolve(&mut self) -> Result<(), String> {
        const SHT_RELA: u32 = 4;
        const STB_LOCAL: u8 = 0;
        let names = self.section(self.u16(0x3e));
        let (text_index, text) = self
            .sections()
            .find(|(_, section)| self.name(names, self.u32(section.header) as usize) == ".text")
            .ok_or("no .text")?;
        let (_, relocations) = self
            .sections()
            .find(|(_, section)| section.kind == SHT_RELA && section.info == text_index)
            .ok_or("no relocations of .text")?;
        let symbols = self.section(relocations.link);
        let mut kept = relocations.offset;
        for at in (relocations.offset..relocations.offset + relocations.size).step_by(RELA_SIZE) {
            let (offset, info, addend) = (self.u64(at), self.u64(at + 8), self.u64(at + 16));
            let symbol = self.symbol(symbols, (info >> 32) as usize);
            let distance = symbol.value.wrapping_add(addend).wrapping_sub(offset) as i64;
            let settled = symbol.section == text_index
                && symbol.info >> 4 == STB_LOCAL
                && self.relocate(info as u32, text.offset + offset as usize, distance)?;
            if !settled {
                let entry: [u8; RELA_SIZE] = self.0[at..at + RELA_SIZE].try_into().unwrap();
                self.put(kept, &entry);
                kept += RELA_SIZE;
            }
        }
        // The rest of the section becomes a hole, which objcopy closes.
        self.put(
            relocations.header + 32,
            &((kept - relocations.offset) as u64).to_le_bytes(),
        );
        Ok(())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.as_slice() {
        [what, from, to, words @ ..] => std::fs::read(from)
            .map_err(|error| error.to_string())
            .and_then(|bytes| {
                let mut object = Object(bytes);
                match what.as_str() {
                    "cut" if !words.is_empty() => object.cut(words)?,
                    "resolve" if words.is_empty() => object.resolve()?,
                    _ => return Err("cut OBJECT OUT WORD..., or resolve OBJECT OUT".into()),
                }
                std::fs::write(to, object.0).map_err(|error| error.to_string())
            }),
        _ => Err("cut OBJECT OUT WORD..., or resolve OBJECT OUT".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("prelink: {problem}");
            ExitCode::FAILURE
        }
    }
}
