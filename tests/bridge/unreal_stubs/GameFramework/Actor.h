#pragma once
#include "CoreMinimal.h"
class AActor : public UObject
{
public:
	template <class T> T* FindComponentByClass() const { return nullptr; }
};
