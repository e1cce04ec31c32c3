// As CoreMinimal.h, for the build rules.
using System.Collections.Generic;

namespace UnrealBuildTool
{
    public sealed class UnrealTargetPlatform
    {
        public static readonly UnrealTargetPlatform Win64 = new UnrealTargetPlatform();
        public static readonly UnrealTargetPlatform Linux = new UnrealTargetPlatform();
    }

    public sealed class ReadOnlyTargetRules
    {
        public UnrealTargetPlatform Platform
        {
            get { return UnrealTargetPlatform.Win64; }
        }
    }

    public class ModuleRules
    {
        public enum ModuleType
        {
            CPlusPlus,
            External
        }

        public enum PCHUsageMode
        {
            UseExplicitOrSharedPCHs
        }

        public sealed class RuntimeDependencyList
        {
            public void Add(string path)
            {
            }
        }

        public ModuleType Type;
        public PCHUsageMode PCHUsage;
        public readonly List<string> PublicSystemIncludePaths = new List<string>();
        public readonly List<string> PublicAdditionalLibraries = new List<string>();
        public readonly List<string> PublicDelayLoadDLLs = new List<string>();
        public readonly List<string> PublicRuntimeLibraryPaths = new List<string>();
        public readonly List<string> PublicDependencyModuleNames = new List<string>();
        public readonly List<string> PrivateDependencyModuleNames = new List<string>();
        public readonly RuntimeDependencyList RuntimeDependencies = new RuntimeDependencyList();

        public ModuleRules(ReadOnlyTargetRules target)
        {
        }

        public string ModuleDirectory
        {
            get { return ""; }
        }

        public string PluginDirectory
        {
            get { return ""; }
        }
    }
}
