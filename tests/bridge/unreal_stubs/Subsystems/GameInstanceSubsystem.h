#pragma once
#include "CoreMinimal.h"
class UGameInstanceSubsystem : public UObject
{
public:
	virtual ~UGameInstanceSubsystem() = default;
	virtual void Deinitialize() {}
};
