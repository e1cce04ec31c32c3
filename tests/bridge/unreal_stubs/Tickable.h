#pragma once
#include "CoreMinimal.h"
enum class ETickableTickType : uint8
{
	Conditional,
	Always,
	Never
};
class FTickableGameObject
{
public:
	virtual ~FTickableGameObject() = default;
	virtual void Tick(float) = 0;
	virtual ETickableTickType GetTickableTickType() const { return ETickableTickType::Conditional; }
	virtual bool IsTickable() const { return true; }
	virtual bool IsTickableWhenPaused() const { return false; }
	virtual TStatId GetStatId() const = 0;
};
