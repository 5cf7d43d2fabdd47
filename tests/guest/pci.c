#include "pci.h"

#include "cpu.h"
#include "machine.h"

enum { CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc };
enum { VENDOR = 0x00, HEADER_TYPE = 0x0e, CAPABILITIES = 0x34, MULTIFUNCTION = 0x80 };

static void select_register(pci_function function, u32 offset) {
  u32 address = 0x80000000u | (u32)function << 8 | (offset & 0xfc);
  __asm__ volatile("outl %0, %1" : : "a"(address), "Nd"((u16)CONFIG_ADDRESS));
}

u32 pci_port_read(pci_function function, u32 offset, u32 width) {
  u16 port = (u16)(CONFIG_DATA + (offset & 3));
  u32 value = 0;
  select_register(function, offset);
  if (width == 1) return port_read8(port);
  if (width == 2) {
    u16 half;
    __asm__ volatile("inw %1, %0" : "=a"(half) : "Nd"(port));
    return half;
  }
  __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

void pci_port_write(pci_function function, u32 offset, u32 width, u32 value) {
  u16 port = (u16)(CONFIG_DATA + (offset & 3));
  select_register(function, offset);
  if (width == 1) {
    port_write8(port, (u8)value);
  } else if (width == 2) {
    __asm__ volatile("outw %0, %1" : : "a"((u16)value), "Nd"(port));
  } else {
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
  }
}

static u64 address_of(pci_function function, u32 offset) {
  return word_number("ecam", 0) + ((u64)function << 12) + offset;
}

u32 pci_memory_read(pci_function function, u32 offset, u32 width) {
  u64 address = address_of(function, offset);
  return width == 1 ? mmio_read8(address) : width == 2 ? mmio_read16(address) : mmio_read32(address);
}

void pci_memory_write(pci_function function, u32 offset, u32 width, u32 value) {
  u64 address = address_of(function, offset);
  if (width == 1) {
    mmio_write8(address, (u8)value);
  } else if (width == 2) {
    mmio_write16(address, (u16)value);
  } else {
    mmio_write32(address, value);
  }
}

bool pci_for_each(pci_visitor each, void* context) {
  for (u32 slot = 0; slot < 32; ++slot) {
    u32 functions = pci_port_read((u16)(slot << 3), HEADER_TYPE, 1) & MULTIFUNCTION ? 8 : 1;
    for (u32 i = 0; i < functions; ++i) {
      pci_function function = (u16)(slot << 3 | i);
      if (pci_port_read(function, VENDOR, 2) != 0xffff && !each(function, context)) return false;
    }
  }
  return true;
}

u32 pci_capability(pci_function function, u8 id, u32 after) {
  u32 at = pci_port_read(function, after ? after + 1 : CAPABILITIES, 1);
  for (u32 i = 0; at >= 0x40 && i < 48; ++i) {
    if (pci_port_read(function, at, 1) == id) return at;
    at = pci_port_read(function, at + 1, 1);
  }
  return 0;
}
