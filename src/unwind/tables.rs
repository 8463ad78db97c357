//! The unwind tables of a loaded object, where they lie in memory: `.eh_frame` through its index, `.eh_frame_hdr`.

use gimli::{BaseAddresses, EhFrame, EhFrameHdr, LittleEndian, Pointer, UnwindSection};

use crate::sys::registers;
use crate::tables::frame::End;
use crate::tables::objects::Entry;

/// Bytes of an object.
pub type Slice = gimli::EndianSlice<'static, LittleEndian>;
/// What a table says of one function.
pub type Fde = gimli::FrameDescriptionEntry<Slice>;

/// One entry, and the segment that it lies in, which is what its pointers and expressions are read from.
pub struct Found {
    pub fde: Fde,
    pub section: EhFrame<Slice>,
    pub bases: BaseAddresses,
}

/// The entry of `object`'s tables that covers `address`; `Ok(None)` when there is none. It may lie in any segment, and in another
/// than the rest: linkers put it where one input's section flags say, tools that rewrite programs write a second table. Context: hook.
pub fn find(object: &Entry, address: u64) -> Result<Option<Found>, End> {
    let header = object.unwind_header;
    if header.is_empty() {
        return Ok(None);
    }
    let bases = BaseAddresses::default().set_eh_frame_hdr(header.as_ptr() as u64);
    let Ok(header) = EhFrameHdr::new(header, LittleEndian).parse(&bases, 8) else {
        return Ok(None);
    };
    let Some(table) = header.table() else {
        return Ok(None);
    };
    let Ok(Pointer::Direct(place)) = table.lookup(address, &bases) else {
        return Ok(None);
    };
    let start = object.segments.readable(place).ok_or(End::BadUnwindInfo)?.start;
    let bytes = object.bytes_from(start).ok_or(End::BadUnwindInfo)?;
    let mut section = EhFrame::new(bytes, LittleEndian);
    section.set_vendor(registers::VENDOR);
    let bases = bases.set_eh_frame(start);
    let offset = gimli::EhFrameOffset((place - start) as usize);
    let fde = section
        .fde_from_offset(&bases, offset, EhFrame::cie_from_offset)
        .map_err(|_| End::BadUnwindInfo)?;
    Ok(fde.contains(address).then_some(Found { fde, section, bases }))
}
