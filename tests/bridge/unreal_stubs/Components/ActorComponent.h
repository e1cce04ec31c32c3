#pragma once
#include "CoreMinimal.h"
namespace EEndPlayReason
{
enum Type
{
	Destroyed
};
}
class UActorComponent : public UObject
{
public:
	class AActor* GetOwner() const { return nullptr; }

protected:
	virtual ~UActorComponent() = default;
	virtual void BeginPlay() {}
	virtual void EndPlay(const EEndPlayReason::Type) {}
};
