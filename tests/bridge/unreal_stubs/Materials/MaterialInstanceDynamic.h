#pragma once
#include "CoreMinimal.h"
class UMaterialInstanceDynamic : public UObject
{
public:
	void SetTextureParameterValue(FName, class UTexture*) {}
};
