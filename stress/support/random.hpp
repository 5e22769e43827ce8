// Random: small seeded streams of numbers; every thread derives its own from the run's seed.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>

namespace tidegate::stress {

// SplitMix64 (Steele, Lea, Flood 2014): one word of state, so a thread that lives for microseconds
// can afford one, and any mixture of numbers is a good seed.
class Random {
 public:
  using result_type = std::uint64_t;

  explicit constexpr Random(std::uint64_t seed) noexcept : state_(seed) {}
  // The stream of `part` in the run of `seed`: the same for the same numbers, else unrelated.
  template <class... Parts>
  static constexpr Random stream(std::uint64_t seed, Parts... parts) noexcept {
    Random random(seed);
    ((random.state_ = random() ^ static_cast<std::uint64_t>(parts)), ...);
    return Random(random());
  }

  constexpr std::uint64_t operator()() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
  static constexpr std::uint64_t min() noexcept { return 0; }
  static constexpr std::uint64_t max() noexcept {
    return std::numeric_limits<std::uint64_t>::max();
  }

  // 0 .. n-1; needs n > 0.
  constexpr std::uint32_t below(std::uint32_t n) noexcept {
    return static_cast<std::uint32_t>((operator()() >> 32) * n >> 32);
  }
  // True `n` times of `of`.
  constexpr bool chance(std::uint32_t n, std::uint32_t of) noexcept { return below(of) < n; }
  constexpr std::chrono::microseconds up_to(std::chrono::microseconds longest) noexcept {
    return std::chrono::microseconds(below(static_cast<std::uint32_t>(longest.count()) + 1));
  }
  template <class T, std::size_t N>
  constexpr const T& pick(const T (&of)[N]) noexcept {
    return of[below(static_cast<std::uint32_t>(N))];
  }

 private:
  std::uint64_t state_;
};

}  // namespace tidegate::stress
