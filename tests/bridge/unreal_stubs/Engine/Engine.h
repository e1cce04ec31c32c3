#pragma once
#include "CoreMinimal.h"
enum class EGetWorldErrorMode
{
	LogAndReturnNull
};
class UEngine : public UObject
{
public:
	UWorld* GetWorldFromContextObject(const UObject*, EGetWorldErrorMode) const { return nullptr; }
};
extern UEngine* GEngine;
