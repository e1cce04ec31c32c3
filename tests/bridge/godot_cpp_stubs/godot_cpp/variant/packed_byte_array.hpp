#pragma once
#include "../stubs.hpp"
