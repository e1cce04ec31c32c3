#pragma once
#include "CoreMinimal.h"
class UWorld : public UObject
{
public:
	class UGameInstance* GetGameInstance() const { return nullptr; }
};
