#include "core/plugin/digest.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

namespace nacre {
namespace {

// OpenSSL's SHA256(), which has been the same since its first version.
using Sha256 = unsigned char* (*)(const unsigned char* data, size_t length, unsigned char* digest);

Result<Sha256> library() {
  static void* const crypto = ::dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
  static void* const function = crypto ? ::dlsym(crypto, "SHA256") : nullptr;
  if (function) return reinterpret_cast<Sha256>(function);
  return fail("-plugin-allow needs libcrypto.so.3 of OpenSSL, which cannot be loaded. Install it (Debian: libssl3).");
}

}  // namespace

Status prepare_digests() {
  Result<Sha256> loaded = library();
  return loaded ? Status() : Status(loaded.error());
}

Result<std::string> sha256_of(int fd, uint64_t size, const std::string& path) {
  Result<Sha256> sha256 = library();
  if (!sha256) return sha256.error();
  // Read, not mapped: a file that becomes shorter meanwhile is an error here, and would be a signal there.
  std::vector<unsigned char> content(size);
  for (uint64_t at = 0; at < size;) {
    const ssize_t n = ::pread(fd, content.data() + at, size - at, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail("cannot read '{}': {}.", path, n < 0 ? strerror(errno) : "it became shorter");
    at += static_cast<uint64_t>(n);
  }
  std::array<unsigned char, 32> digest;
  (*sha256)(content.data(), content.size(), digest.data());
  std::string text;
  for (unsigned char byte : digest) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace nacre
