#pragma once
#include "CoreMinimal.h"
class UBlueprintAsyncActionBase : public UObject
{
public:
	virtual ~UBlueprintAsyncActionBase() = default;
	virtual void Activate() {}
	void RegisterWithGameInstance(class UGameInstance*) {}
	virtual void SetReadyToDestroy() {}
};
