"""Decides what this machine's /dev/kvm can do.

Reported capabilities do not tell a software KVM from a full one, so a guest of one page decides: it executes POPCNT at
the highest privilege, which every processor with virtualization has and KVM's instruction emulator does not know. The
guest has no devices and no memory but its own, and a time limit.
"""

import ctypes
import fcntl
import mmap
import os
import platform
import signal
import struct

# Linux Documentation/virt/kvm/api.rst
KVM_GET_API_VERSION = 0xAE00
KVM_CREATE_VM = 0xAE01
KVM_GET_VCPU_MMAP_SIZE = 0xAE04
KVM_CREATE_VCPU = 0xAE41
KVM_SET_TSS_ADDR = 0xAE47
KVM_SET_USER_MEMORY_REGION = 0x4020AE46
KVM_RUN = 0xAE80
KVM_SET_REGS = 0x4090AE82
KVM_GET_REGS = 0x8090AE81
KVM_SET_SREGS = 0x4138AE84
KVM_GET_SREGS = 0x8138AE83
KVM_EXIT_HLT = 5
KVM_EXIT_INTERNAL_ERROR = 17
KVM_EXIT_REASON_OFFSET = 8

PROBE_SECONDS = 5
GUEST_MEMORY = 0x10000
CODE = 0x1000
POPCNT_THEN_HLT = bytes((0xF3, 0x0F, 0xB8, 0xC1, 0xF4))  # popcnt eax, ecx; hlt


def _flat_protected_mode(sregs):
    """Turns the reset state of kvm_sregs into 32-bit protected mode with flat segments."""
    code = struct.pack("<QIH10B", 0, 0xFFFFFFFF, 8, 11, 1, 0, 1, 1, 0, 1, 0, 0, 0)
    data = struct.pack("<QIH10B", 0, 0xFFFFFFFF, 16, 3, 1, 0, 1, 1, 0, 1, 0, 0, 0)
    sregs[0:6 * 24] = code + data * 5
    cr0_offset = 8 * 24 + 2 * 16
    cr0 = struct.unpack_from("<Q", sregs, cr0_offset)[0]
    struct.pack_into("<Q", sregs, cr0_offset, cr0 | 1)


def _run_probe(kvm):
    """Runs the probe; returns (exit reason, value of EAX at the exit)."""
    vm = fcntl.ioctl(kvm, KVM_CREATE_VM, 0)
    memory = mmap.mmap(-1, GUEST_MEMORY)
    memory[CODE:CODE + len(POPCNT_THEN_HLT)] = POPCNT_THEN_HLT
    try:
        fcntl.ioctl(vm, KVM_SET_TSS_ADDR, 0xD0000)
        address = _address_of(memory)
        fcntl.ioctl(vm, KVM_SET_USER_MEMORY_REGION, struct.pack("<IIQQQ", 0, 0, 0, GUEST_MEMORY, address))
        vcpu = fcntl.ioctl(vm, KVM_CREATE_VCPU, 0)
        with mmap.mmap(vcpu, fcntl.ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0)) as run:
            sregs = bytearray(312)
            fcntl.ioctl(vcpu, KVM_GET_SREGS, sregs)
            _flat_protected_mode(sregs)
            fcntl.ioctl(vcpu, KVM_SET_SREGS, bytes(sregs))
            registers = [0] * 18
            registers[2] = 0xFF  # rcx: eight bits to count
            registers[16] = CODE  # rip
            registers[17] = 2  # rflags
            fcntl.ioctl(vcpu, KVM_SET_REGS, struct.pack("<18Q", *registers))
            signal.signal(signal.SIGALRM, lambda *_: None)  # ends KVM_RUN with EINTR
            signal.setitimer(signal.ITIMER_REAL, PROBE_SECONDS)
            try:
                fcntl.ioctl(vcpu, KVM_RUN, 0)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            result = bytearray(144)
            fcntl.ioctl(vcpu, KVM_GET_REGS, result)
            return struct.unpack_from("<I", run, KVM_EXIT_REASON_OFFSET)[0], struct.unpack_from("<Q", result)[0]
    finally:
        os.close(vm)


def _address_of(memory):
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def _processor():
    try:
        flags = set(next(line for line in open("/proc/cpuinfo") if line.startswith("flags")).split())
    except (OSError, StopIteration):
        flags = set()
    if "vmx" in flags:
        return "a processor with VT-x"
    return "a processor with AMD-V" if "svm" in flags else "a processor that shows neither VT-x nor AMD-V"


def kind():
    """Returns (word, reason); the word is "none", "software" or "full", see tests/linux/kvm-kind."""
    try:
        kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return "none", "there is no /dev/kvm; the modules kvm-amd or kvm-intel are not loaded"
    except OSError as error:
        return "none", f"/dev/kvm cannot be opened: {error.strerror}"
    try:
        version = fcntl.ioctl(kvm, KVM_GET_API_VERSION, 0)
        if version != 12:
            return "none", f"/dev/kvm speaks API version {version}, not 12"
        if platform.machine() != "x86_64":
            return "full", f"/dev/kvm opens; there is no software KVM for {platform.machine()}"
        reason, value = _run_probe(kvm)
    except OSError as error:
        return "none", f"/dev/kvm opens, but a probe guest cannot be run: {error.strerror}"
    finally:
        os.close(kvm)
    if reason == KVM_EXIT_HLT and value == 8:
        return "full", f"{_processor()} runs guest kernel code"
    if reason == KVM_EXIT_INTERNAL_ERROR:
        return "software", f"guest kernel code is emulated ({_processor()}); POPCNT at CPL 0 is an emulation failure"
    return "software", f"POPCNT at CPL 0 does not work here: exit {reason}, result {value} instead of 8"
