#include <cstdio>

int number();

int main() { std::printf("%d\n", number()); }
