#pragma once
#include "CoreMinimal.h"
#define RETURN_QUICK_DECLARE_CYCLE_STAT(Name, Group) return TStatId()
