#pragma once
#include "CoreMinimal.h"
template <class T> class TSharedPtr
{
public:
	bool IsValid() const { return false; }
	T* operator->() const { return nullptr; }
};
class IPlugin
{
public:
	FString GetBaseDir() const { return {}; }
};
class IPluginManager
{
public:
	static IPluginManager& Get();
	TSharedPtr<IPlugin> FindPlugin(const TCHAR*) { return {}; }
};
