#include <exception>
#include <iostream>
#include <locale>
#include <stdexcept>
#include <string>

int main() {
  std::locale::global(std::locale("C.UTF-8"));
  try {
    throw std::runtime_error("thrown and caught");
  } catch (const std::exception& error) {
    std::cout << error.what() << std::endl;
  }
}
