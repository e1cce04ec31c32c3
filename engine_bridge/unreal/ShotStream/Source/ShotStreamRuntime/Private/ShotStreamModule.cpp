#include "HAL/PlatformProcess.h"
#include "Interfaces/IPluginManager.h"
#include "Misc/Paths.h"
#include "Modules/ModuleManager.h"

/** Loads the C library from the plugin's folder before its first function is called. */
class FShotStreamModule : public IModuleInterface
{
public:
	virtual void StartupModule() override
	{
#if PLATFORM_WINDOWS
		const TSharedPtr<IPlugin> Plugin = IPluginManager::Get().FindPlugin(TEXT("ShotStream"));
		const FString Folder = Plugin.IsValid() ? Plugin->GetBaseDir() : FString();
		Library = FPlatformProcess::GetDllHandle(*FPaths::Combine(
			Folder, TEXT("Binaries/ThirdParty/ShotStreamBridge/Win64/shotstream_bridge.dll")));
#endif
	}

	virtual void ShutdownModule() override
	{
		if (Library != nullptr)
		{
			FPlatformProcess::FreeDllHandle(Library);
			Library = nullptr;
		}
	}

private:
	void* Library = nullptr;
};

IMPLEMENT_MODULE(FShotStreamModule, ShotStreamRuntime)
