// Says what it was compiled for.
#include <iostream>

int main() {
#if defined(__aarch64__)
  std::cout << "aarch64\n";
#elif defined(__x86_64__)
  std::cout << "x86_64\n";
#endif
}
