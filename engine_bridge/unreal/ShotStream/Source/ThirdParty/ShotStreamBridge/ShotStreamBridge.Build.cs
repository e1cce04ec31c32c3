using System.IO;
using UnrealBuildTool;

/// <summary>The C library: headers in include/, binaries in the plugin's Binaries/ThirdParty. See README.md for where from.</summary>
public class ShotStreamBridge : ModuleRules
{
    public ShotStreamBridge(ReadOnlyTargetRules Target) : base(Target)
    {
        Type = ModuleType.External;
        PublicSystemIncludePaths.Add(Path.Combine(ModuleDirectory, "include"));
        string Binaries = Path.Combine(PluginDirectory, "Binaries", "ThirdParty", "ShotStreamBridge", Target.Platform.ToString());
        if (Target.Platform == UnrealTargetPlatform.Win64)
        {
            PublicAdditionalLibraries.Add(Path.Combine(ModuleDirectory, "lib", "shotstream_bridge.lib"));
            PublicDelayLoadDLLs.Add("shotstream_bridge.dll"); // ShotStreamModule.cpp loads it from where the plugin is
            RuntimeDependencies.Add(Path.Combine(Binaries, "shotstream_bridge.dll"));
        }
        else if (Target.Platform == UnrealTargetPlatform.Linux)
        {
            string Library = Path.Combine(Binaries, "libshotstream_bridge.so.1");
            PublicAdditionalLibraries.Add(Library);
            PublicRuntimeLibraryPaths.Add(Binaries);
            RuntimeDependencies.Add(Library);
        }
    }
}
