#pragma once
#include "Components/ActorComponent.h"
class UMeshComponent : public UActorComponent
{
public:
	class UMaterialInstanceDynamic* CreateDynamicMaterialInstance(int32) { return nullptr; }
};
