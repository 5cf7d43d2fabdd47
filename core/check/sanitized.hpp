// Whether this program is built with a sanitizer that has an allocator of its own: NACRE_CHECK_SANITIZED.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NACRE_CHECK_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NACRE_CHECK_SANITIZED
#endif
#endif

namespace nacre::check {

#ifdef NACRE_CHECK_SANITIZED
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace nacre::check
