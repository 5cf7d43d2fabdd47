//! Two registers in the guest's memory map, in Rust without a crate: the binary contract is C structures and a note, and any
//! language that can lay them out makes plugins. At offset 0 an identity, at 8 a number that goes up with each read.
#![allow(dead_code)] // fields that only the host reads

use std::os::raw::{c_char, c_void}; // in std::ffi since 1.64
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

const IDENTITY: u64 = 0x7473_7572; // "rust"
const LENGTH: u64 = 4096;

// What is used of nacre/abi/*.h.

const ABI_MAJOR: u16 = 0;
const ABI_MINOR: u16 = 1;
const MAGIC: u32 = 0x4e43_5245;
const KIND_DEVICE: u32 = 1;
const PROP_U64: u32 = 2;
const SPACE_MMIO: u32 = 1;

type Status = i32;
type Instance = *mut c_void;
type Slot = *mut c_void;

#[repr(C)]
pub struct Hello {
    size: u32,
    abi_major: u16,
    abi_minor: u16,
    host_name: *const c_char,
    host_version: *const c_char,
    build_id: [u8; 20],
    flags: u32,
    get_extension: extern "C" fn(*const c_char) -> *const c_void,
}

#[repr(C)]
struct PropsTable {
    size: u32,
    reserved: u32,
    get_bool: *const c_void,
    get_u64: extern "C" fn(Instance, *const c_char, *mut u64) -> Status,
    get_string: *const c_void,
}

#[repr(C)]
struct MmioOps {
    size: u32,
    reserved: u32,
    read: extern "C" fn(*mut c_void, u64, u32) -> u64,
    write: extern "C" fn(*mut c_void, u64, u32, u64),
}

#[repr(C)]
struct MmioTable {
    size: u32,
    reserved: u32,
    claim: extern "C" fn(Instance, u32, u64, u64, u32, *const MmioOps, *mut c_void, *mut *mut c_void, Slot) -> Status,
    release: extern "C" fn(*mut c_void),
    ioeventfd: *const c_void,
}

#[repr(C)]
struct Prop {
    kind: u32,
    flags: u32,
    name: *const c_char,
    help: *const c_char,
    default_text: *const c_char,
    min: u64,
    max: u64,
    values: *const c_void,
    pattern: *const c_char,
    node_kind: *const c_char,
    replacement: *const c_char,
}

#[repr(C)]
struct DeviceOps {
    size: u32,
    flags: u32,
    create: extern "C" fn(Instance, *mut *mut c_void, Slot) -> Status,
    realize: extern "C" fn(*mut c_void, Slot) -> Status,
    unrealize: extern "C" fn(*mut c_void),
    destroy: extern "C" fn(*mut c_void),
    reset: extern "C" fn(*mut c_void),
    others: [*const c_void; 4], // quiesce, resume, save, load
}

#[repr(C)]
struct Type {
    size: u32,
    kind: u32,
    name: *const c_char,
    aliases: *const c_void,
    bus: *const c_char,
    help: *const c_char,
    props: *const Prop,
    prop_size: u32,
    n_props: u32,
    ops: *const DeviceOps,
    flags: u32,
    state_version: u32,
}

#[repr(C)]
pub struct Plugin {
    size: u32,
    magic: u32,
    abi_major: u16,
    abi_minor: u16,
    n_types: u32,
    id: *const c_char,
    version: *const c_char,
    types: *const &'static Type,
    init: *const c_void,
    fini: *const c_void,
    get_extension: *const c_void,
}

// Constants with pointers in them, which nobody changes.
unsafe impl Sync for Prop {}
unsafe impl Sync for DeviceOps {}
unsafe impl Sync for Type {}
unsafe impl Sync for Plugin {}

const fn size_of<T>() -> u32 {
    std::mem::size_of::<T>() as u32
}

macro_rules! text {
    ($words:expr) => {
        concat!($words, "\0").as_ptr() as *const c_char
    };
}

// The device.

static PROPS_TABLE: AtomicPtr<PropsTable> = AtomicPtr::new(null_mut());
static MMIO_TABLE: AtomicPtr<MmioTable> = AtomicPtr::new(null_mut());

fn props_table() -> &'static PropsTable {
    unsafe { &*PROPS_TABLE.load(Ordering::Relaxed) }
}

fn mmio_table() -> &'static MmioTable {
    unsafe { &*MMIO_TABLE.load(Ordering::Relaxed) }
}

struct Device {
    instance: Instance,
    range: *mut c_void,
    counter: AtomicU32, // several virtual CPUs may read at once
}

extern "C" fn create(instance: Instance, device: *mut *mut c_void, _: Slot) -> Status {
    let made = Box::new(Device { instance, range: null_mut(), counter: AtomicU32::new(0) });
    unsafe { *device = Box::into_raw(made) as *mut c_void };
    0
}

extern "C" fn realize(device: *mut c_void, slot: Slot) -> Status {
    static OPS: MmioOps = MmioOps { size: size_of::<MmioOps>(), reserved: 0, read, write };
    let this = unsafe { &mut *(device as *mut Device) };
    let mut address = 0;
    (props_table().get_u64)(this.instance, text!("addr"), &mut address);
    (mmio_table().claim)(this.instance, SPACE_MMIO, address, LENGTH, 0, &OPS, device, &mut this.range, slot)
}

extern "C" fn unrealize(device: *mut c_void) {
    let this = unsafe { &mut *(device as *mut Device) };
    if !this.range.is_null() {
        (mmio_table().release)(this.range);
        this.range = null_mut();
    }
}

extern "C" fn destroy(device: *mut c_void) {
    unrealize(device);
    drop(unsafe { Box::from_raw(device as *mut Device) });
}

fn counter(device: *mut c_void) -> &'static AtomicU32 {
    unsafe { &(*(device as *const Device)).counter }
}

extern "C" fn reset(device: *mut c_void) {
    counter(device).store(0, Ordering::Relaxed);
}

extern "C" fn read(device: *mut c_void, offset: u64, _width: u32) -> u64 {
    match offset {
        0 => IDENTITY,
        8 => counter(device).fetch_add(1, Ordering::Relaxed).into(),
        _ => 0,
    }
}

extern "C" fn write(device: *mut c_void, offset: u64, _width: u32, value: u64) {
    if offset == 8 {
        counter(device).store(value as u32, Ordering::Relaxed);
    }
}

// What the plugin shows.

static PROPS: [Prop; 1] = [Prop {
    kind: PROP_U64,
    flags: 0,
    name: text!("addr"),
    help: text!("guest-physical address of the registers"),
    default_text: text!("0xfd001000"),
    min: 0,
    max: u64::MAX - LENGTH,
    values: null(),
    pattern: null(),
    node_kind: null(),
    replacement: null(),
}];

static OPS: DeviceOps =
    DeviceOps { size: size_of::<DeviceOps>(), flags: 0, create, realize, unrealize, destroy, reset, others: [null(); 4] };

static TYPE: Type = Type {
    size: size_of::<Type>(),
    kind: KIND_DEVICE,
    name: text!("rust-registers"),
    aliases: null(),
    bus: text!("mmio"),
    help: text!("two registers, in Rust"),
    props: &PROPS as *const Prop,
    prop_size: size_of::<Prop>(),
    n_props: 1,
    ops: &OPS,
    flags: 0,
    state_version: 0,
};

static TYPES: [&Type; 1] = [&TYPE];

static PLUGIN: Plugin = Plugin {
    size: size_of::<Plugin>(),
    magic: MAGIC,
    abi_major: ABI_MAJOR,
    abi_minor: ABI_MINOR,
    n_types: 1,
    id: text!("org.nacre.example.rust-registers"),
    version: text!("0.1.0"),
    types: &TYPES as *const &Type,
    init: null(),
    fini: null(),
    get_extension: null(),
};

/// # Safety
/// The host passes a valid `hello`.
#[no_mangle]
pub unsafe extern "C" fn nacre_plugin_entry_v0(hello: *const Hello) -> *const Plugin {
    let extension = (*hello).get_extension;
    // Not null: the note requires them.
    PROPS_TABLE.store(extension(text!("nacre.props/1")) as *mut PropsTable, Ordering::Relaxed);
    MMIO_TABLE.store(extension(text!("nacre.mmio/1")) as *mut MmioTable, Ordering::Relaxed);
    &PLUGIN
}

// The note, nacre/abi/note.h: what the host reads before it loads anything.

const JSON: &[u8] = br#"{"id":"org.nacre.example.rust-registers","version":"0.1.0","provides":[{"kind":"device","name":"rust-registers","bus":"mmio"}],"requires":["nacre.props/1","nacre.mmio/1"],"optional":[]}"#;

#[repr(C)]
struct Note {
    name_size: u32,
    desc_size: u32,
    kind: u32,
    owner: [u8; 8],
    note_version: u16,
    header_size: u16,
    abi_major: u16,
    abi_minor_built: u16,
    abi_minor_needed: u16,
    tier: u8,
    arch: u8,
    flags: u32,
    json_size: u32,
    host_build_id: [u8; 20],
    json: [u8; (JSON.len() + 3) & !3],
}

const HEADER_SIZE: u16 = 40;

const fn padded() -> [u8; (JSON.len() + 3) & !3] {
    let mut bytes = [0; (JSON.len() + 3) & !3];
    let mut i = 0;
    while i < JSON.len() {
        bytes[i] = JSON[i];
        i += 1;
    }
    bytes
}

#[used]
#[link_section = ".note.nacre.plugin"]
static NOTE: Note = Note {
    name_size: 6,
    desc_size: HEADER_SIZE as u32 + JSON.len() as u32,
    kind: MAGIC,
    owner: *b"NACRE\0\0\0",
    note_version: 1,
    header_size: HEADER_SIZE,
    abi_major: ABI_MAJOR,
    abi_minor_built: ABI_MINOR,
    abi_minor_needed: ABI_MINOR,
    tier: 0,
    arch: if cfg!(target_arch = "x86_64") { 1 } else { 2 },
    flags: 0,
    json_size: JSON.len() as u32,
    host_build_id: [0; 20],
    json: padded(),
};
