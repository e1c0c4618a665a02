/* sanitizers.h: is the program built with AddressSanitizer, by gcc or by clang? */
#ifndef HAYFORK_BASE_SANITIZERS_H
#define HAYFORK_BASE_SANITIZERS_H

#if defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#if !defined(HAS_SANITIZER)
#define HAS_SANITIZER 0
#endif

#endif
