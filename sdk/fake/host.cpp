#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <nacre/fake/back_ends.hpp>
#include <nacre/fake/host.hpp>
#include <nacre/mutex.hpp>

#include "tables.hpp"

namespace nacre::fake {
namespace {

struct Shown {
  const char* id;
  const void* table;
  uint32_t size;
};

nacre::sdk::Mutex mutex;
std::set<std::string> asked NACRE_GUARDED_BY(mutex);
std::vector<std::string> noted NACRE_GUARDED_BY(mutex);
std::set<std::string> missing NACRE_GUARDED_BY(mutex);
// Never ended: plugins keep what they were shown.
std::map<std::string, const void*>& shown NACRE_GUARDED_BY(mutex) = *new std::map<std::string, const void*>;
std::thread::id main_thread NACRE_GUARDED_BY(mutex);
nacre_host_hello greeting{};

// A copy of the table that ends where poison begins: whoever reads beyond its size calls an address that faults.
const void* poisoned(const void* table, uint32_t size) {
  constexpr size_t kPoison = 256;
  auto* copy = static_cast<uint8_t*>(std::malloc(size + kPoison));
  std::memcpy(copy, table, size);
  std::memset(copy + size, 0xdb, kPoison);
  return copy;
}

template <typename Table>
Shown show(const char* id, const Table& table) {
  return {id, &table, sizeof table};
}

const void* get_extension(const char* id) noexcept {
  static const Shown kServices[] = {
      show(NACRE_EXT_LOG, kLog),
      show(NACRE_EXT_ERROR, kError),
      show(NACRE_EXT_PROPS, kProps),
      show(NACRE_EXT_MEMORY, kMemory),
      show(NACRE_EXT_IRQ, kIrq),
      show(NACRE_EXT_MMIO, kMmio),
      show(NACRE_EXT_VIRTIO, kVirtio),
      show(NACRE_EXT_LOOP, kLoop),
      show(NACRE_EXT_QMP, kQmp),
      show(NACRE_EXT_STATE, kState),
      show(NACRE_EXT_LIFECYCLE, kLifecycle),
      show(NACRE_EXT_BLOCK, kBlock),
      show(NACRE_EXT_CHARDEV, kChardev),
      show(NACRE_EXT_RNG, kRng),
      show(NACRE_EXT_BALLOON, kBalloon),
      show(NACRE_EXT_NET, kNet),
      show(NACRE_EXT_PCI, kPci),
  };
  if (!id) return nullptr;
  nacre::sdk::MutexLock lock(mutex);
  asked.insert(id);
  if (missing.contains(id)) return nullptr;
  for (const Shown& service : kServices) {
    if (std::strcmp(service.id, id) != 0) continue;
    const void*& copy = shown[id];
    if (!copy) copy = poisoned(service.table, service.size);
    return copy;
  }
  return nullptr;
}

}  // namespace

const nacre_host_hello* hello(const std::set<std::string>& without) {
  nacre::sdk::MutexLock lock(mutex);
  if (main_thread == std::thread::id()) main_thread = std::this_thread::get_id();
  missing = without;
  greeting.size = sizeof greeting;
  greeting.abi_major = NACRE_ABI_MAJOR;
  greeting.abi_minor = NACRE_ABI_MINOR;
  greeting.host_name = "nacre-fake";
  greeting.host_version = "0";
  greeting.get_extension = get_extension;
  return &greeting;
}

std::set<std::string> asked_for() {
  nacre::sdk::MutexLock lock(mutex);
  return asked;
}

void forget_questions() {
  nacre::sdk::MutexLock lock(mutex);
  asked.clear();
}

std::vector<std::string> offences() {
  nacre::sdk::MutexLock lock(mutex);
  return noted;
}

void offend(const std::string& sentence) {
  nacre::sdk::MutexLock lock(mutex);
  constexpr size_t kMost = 100;
  if (noted.size() < kMost) noted.push_back(sentence);
}

bool on_main_thread() {
  nacre::sdk::MutexLock lock(mutex);
  return std::this_thread::get_id() == main_thread;
}

void main_only(const char* function) {
  if (!on_main_thread()) offend(std::string(function) + " was called off the main thread");
}

nacre_status say(nacre_error* slot, nacre_status status, const std::string& text) {
  if (slot) std::snprintf(slot->text, sizeof slot->text, "%s", text.c_str());
  return status;
}

}  // namespace nacre::fake

nacre_instance::nacre_instance(nacre::fake::Memory& ram, nacre_loop& its_loop, std::string its_id)
    : memory(ram), loop(its_loop), id(std::move(its_id)), back_ends(std::make_unique<nacre::fake::BackEnds>()) {
  properties["id"] = {NACRE_PROP_STRING, 0, id};
}

nacre_instance::~nacre_instance() {
  if (back_ends->random >= 0) ::close(back_ends->random);
}

std::vector<nacre_mmio_region*> nacre_instance::reachable() {
  std::vector<nacre_mmio_region*> all;
  for (nacre_mmio_region& region : regions) all.push_back(&region);
  for (size_t i = 0; pci && i < pci->bars.size(); ++i)
    if (pci->bars[i]) all.push_back(pci->bars[i].get());
  return all;
}

std::string nacre_instance::held() const {
  std::string words;
  auto add = [&](size_t n, const char* what) {
    if (n) words += (words.empty() ? "" : ", ") + std::to_string(n) + " " + what;
  };
  add(irqs.size(), "interrupt lines");
  add(regions.size(), "I/O ranges");
  add(virtio ? 1 : 0, "virtio devices");
  add(pci && !pci_port ? 1 : 0, "PCI functions");
  add(balloon ? 1 : 0, "balloons");
  add(pins, "pins of guest memory");
  add(back_ends->blocks.size(), "disks");
  add(back_ends->chardevs.size(), "character back ends");
  add(back_ends->nets.size(), "networks");
  return words;
}
